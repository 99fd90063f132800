/** A journal in a folder of its own, for tests. */
import { FileSystem } from "@effect/platform"
import { Effect, type Scope } from "effect"
import { encodeHeader, type Kind } from "../../src/remote-run/journal/JournalRecord.ts"
import { JournalRoom } from "../../src/remote-run/journal/JournalRoom.ts"
import { RunJournal } from "../../src/remote-run/journal/RunJournal.ts"

export const makeJournal = (
  maxSize = Number.MAX_SAFE_INTEGER
): Effect.Effect<RunJournal, never, FileSystem.FileSystem | Scope.Scope> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const directory = yield* Effect.orDie(fs.makeTempDirectoryScoped({ prefix: "rudder-relay-journal-" }))
    return new RunJournal({
      fs,
      room: new JournalRoom(maxSize),
      fork: (effect) => void Effect.runFork(effect),
      path: `${directory}/run.open`,
      finalPath: `${directory}/run.run`
    })
  })

/** A record as it is in the file; its payload is an event, or a text that may be none. */
export const record = (kind: Kind, node: string, payload: unknown): Buffer => {
  const bytes = Buffer.from(typeof payload === "string" ? payload : JSON.stringify(payload))
  return Buffer.concat([encodeHeader(kind, node, bytes.length, 0, { continued: false, open: false }), bytes])
}
