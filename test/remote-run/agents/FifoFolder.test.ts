import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as FifoFolder from "../../../src/remote-run/agents/FifoFolder.ts"
import * as ProcessTable from "../../../src/remote-run/agents/ProcessTable.ts"
import { folder } from "../../support/LocalScripts.ts"

const start = ProcessTable.find(process.pid)?.start ?? 0
/** Of a process that had this one's number. */
const ofTheDead = `rudder-relay-fifos-${process.pid}-${start - 1}-abcdef`
const ofTheLiving = `rudder-relay-fifos-${process.pid}-${start}-abcdef`

/** Makes a folder as a daemon does; gives its path. */
const make = (parent: string, name: string, mode = 0o700) => {
  const made = path.join(parent, name)
  fs.mkdirSync(made)
  fs.chmodSync(made, mode)
  execFileSync("mkfifo", [FifoFolder.signOf(made), `${FifoFolder.newName(made)}.out`])
  return made
}

describe("a folder of FIFOs is abandoned", () => {
  it.scoped("when its daemon is gone, though another process has its number", () =>
    Effect.map(folder, (parent) => {
      const dead = make(parent, ofTheDead)
      assert.deepStrictEqual(FifoFolder.abandoned(parent), [dead])
      FifoFolder.remove(dead)
      assert.deepStrictEqual(fs.readdirSync(parent), [])
    })
  )

  it.scoped("when it was killed before it had made the first FIFO", () =>
    Effect.map(folder, (parent) => {
      const dead = path.join(parent, ofTheDead)
      fs.mkdirSync(dead, { mode: 0o700 })
      assert.deepStrictEqual(FifoFolder.abandoned(parent), [dead])
    })
  )
})

describe("a folder of FIFOs is not", () => {
  it.scoped("while its daemon lives, though that can't be seen from here", () =>
    Effect.map(folder, (parent) => {
      const claim = FifoFolder.claim(make(parent, ofTheDead))
      assert.deepStrictEqual(FifoFolder.abandoned(parent), [])
      fs.closeSync(claim)
      assert.strictEqual(FifoFolder.abandoned(parent).length, 1)
    })
  )

  it.scoped("while its daemon is about to make it", () =>
    Effect.map(folder, (parent) => {
      make(parent, ofTheLiving)
      assert.deepStrictEqual(FifoFolder.abandoned(parent), [])
    })
  )

  it.scoped(
    "where others may have made it: a link, another user's, one that is open to others, another name",
    () =>
      Effect.map(folder, (parent) => {
        const target = make(parent, "target")
        fs.symlinkSync(target, path.join(parent, ofTheDead))
        make(parent, ofTheDead.replace("abcdef", "ghijkl"), 0o755)
        make(parent, `${ofTheDead}-of-another`)
        fs.writeFileSync(path.join(parent, ofTheDead.replace("abcdef", "mnopqr")), "", { mode: 0o700 })
        // Only root can give a folder away.
        if (process.geteuid?.() === 0)
          fs.chownSync(make(parent, ofTheDead.replace("abcdef", "stuvwx")), 65534, 65534)
        assert.deepStrictEqual(FifoFolder.abandoned(parent), [])
      })
  )

  it.scoped("emptied of what no daemon puts there", () =>
    Effect.map(folder, (parent) => {
      const dead = make(parent, ofTheDead)
      const file = path.join(dead, "kept")
      fs.writeFileSync(file, "")
      assert.throws(() => FifoFolder.remove(dead), /ENOTEMPTY/)
      assert.isTrue(fs.existsSync(file))
    })
  )
})
