/** A folder of its own for a test, gone with its scope. */
import { mkdtempSync, realpathSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"

/** Its real path: no part of it is a link. */
export const temporaryFolder = Effect.acquireRelease(
  Effect.sync(() => realpathSync(mkdtempSync(join(tmpdir(), "rudder-relay-test-")))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
)
