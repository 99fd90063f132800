import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as AgentPipes from "../../../src/remote-run/agents/AgentPipes.ts"
import { FifoPair } from "../../../src/remote-run/agents/Fifo.ts"
import { folder, until } from "../../support/LocalScripts.ts"

const pair = Effect.gen(function* () {
  const parent = yield* folder
  const pair = new FifoPair(parent, path.join(parent, "a"))
  execFileSync("mkfifo", pair.paths)
  yield* Effect.addFinalizer(() => Effect.sync(() => pair.close()))
  return pair
})

/** What one agent prints, once it has both open. */
const read = (pair: FifoPair) => {
  let text = ""
  const ends: Array<boolean> = []
  pair.open()
  const writers = pair.paths.map((file) => fs.openSync(file, "w"))
  const pipes = AgentPipes.ofFifos(
    pair,
    {
      write: (_, bytes) => {
        text += Buffer.from(bytes).toString()
        return true
      }
    },
    (atEnd) => ends.push(atEnd)
  )
  const print = (text: string) => fs.writeSync(writers[0] ?? -1, text)
  const exit = () => {
    for (const writer of writers.splice(0)) fs.closeSync(writer)
  }
  return { pipes, print, exit, ends, text: () => text }
}

const opened = (pair: FifoPair) => {
  const names = fs.readdirSync("/proc/self/fd").map((fd) => {
    try {
      return fs.readlinkSync(`/proc/self/fd/${fd}`)
    } catch {
      return ""
    }
  })
  return names.filter((name) => pair.paths.includes(name)).sort()
}

describe("a pair of FIFOs", () => {
  it.scopedLive("is read for one agent after the other, each to its own end, through the same files", () =>
    Effect.gen(function* () {
      const fifos = yield* pair
      for (const line of ["first\n", "second\n", "third\n"]) {
        const agent = read(fifos)
        agent.print(line)
        yield* until(() => agent.text() === line)
        assert.isFalse(agent.pipes.isDrained)
        // What comes right before the end is no less than what comes before.
        agent.print("last")
        agent.exit()
        yield* until(() => agent.pipes.isDrained)
        assert.deepStrictEqual([agent.text(), agent.ends], [`${line}last`, [true]])
        assert.deepStrictEqual(opened(fifos), [...fifos.paths].sort())
      }
    })
  )

  it.scopedLive("is not closed by whom it is over for", () =>
    Effect.gen(function* () {
      const fifos = yield* pair
      const first = read(fifos)
      first.exit()
      yield* until(() => first.pipes.isDrained)
      const second = read(fifos)
      first.pipes.discard()
      first.pipes.close()
      second.print("mine")
      second.exit()
      yield* until(() => second.pipes.isDrained)
      assert.deepStrictEqual([second.text(), second.ends, first.ends], ["mine", [true], [true]])
    })
  )

  it.scopedLive("that is closed before its end is of no more use to the agent, and told so once", () =>
    Effect.gen(function* () {
      const fifos = yield* pair
      const agent = read(fifos)
      agent.pipes.close()
      assert.deepStrictEqual([agent.ends, agent.pipes.isDrained, fifos.isOpen], [[false], true, false])
      expect(() => agent.print("nobody hears")).toThrow("EPIPE")
      yield* until(() => opened(fifos).length === 2)
      agent.exit()
      const next = read(fifos)
      next.print("next")
      next.exit()
      yield* until(() => next.pipes.isDrained)
      assert.deepStrictEqual([next.text(), agent.text(), agent.ends], ["next", "", [false]])
    })
  )
})
