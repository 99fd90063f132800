import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as AgentProgram from "../../../src/remote-run/agents/AgentProgram.ts"
import { folder } from "../../support/LocalScripts.ts"

/** A folder with `bin/rudder`, that may be executed, and `other/rudder`, that may not; `dir/rudder` is a folder. */
const world = Effect.tap(folder, (dir) =>
  Effect.sync(() => {
    for (const name of ["bin", "other", "dir/rudder"]) fs.mkdirSync(path.join(dir, name), { recursive: true })
    fs.writeFileSync(path.join(dir, "bin/rudder"), "", { mode: 0o755 })
    fs.writeFileSync(path.join(dir, "other/rudder"), "", { mode: 0o644 })
  })
)

describe("a command", () => {
  it.scoped("with a slash is meant from the folder that the daemon was started in", () =>
    Effect.sync(() => {
      const lookUp = { folder: "/srv", path: "/usr/bin" }
      assert.strictEqual(AgentProgram.find("bin/rudder", lookUp), "/srv/bin/rudder")
      assert.strictEqual(AgentProgram.find("./rudder", lookUp), "/srv/rudder")
      assert.strictEqual(AgentProgram.find("/opt/rudder/bin/rudder", lookUp), "/opt/rudder/bin/rudder")
    })
  )

  it.scoped("without one is the first program of the path that may be executed", () =>
    Effect.map(world, (dir) => {
      const find = (...entries: ReadonlyArray<string>) =>
        AgentProgram.find("rudder", { folder: path.join(dir, "bin"), path: entries.join(":") })
      const program = path.join(dir, "bin/rudder")
      assert.strictEqual(
        find("/nonexistent", path.join(dir, "other"), path.join(dir, "dir"), path.join(dir, "bin")),
        program
      )
      assert.strictEqual(find("../bin"), program)
      // An empty entry is the folder itself.
      assert.strictEqual(find("/nonexistent", ""), program)
    })
  )

  it("that is not found stays a name", () => {
    assert.strictEqual(AgentProgram.find("rudder", { folder: "/srv", path: "/nonexistent" }), "rudder")
    assert.strictEqual(AgentProgram.find("rudder", { folder: "/nonexistent", path: undefined }), "rudder")
  })
})
