import { assert, describe, it } from "@effect/vitest"
import { FastCheck as fc } from "effect"
import * as AgentFamily from "../../../src/remote-run/agents/AgentFamily.ts"
import type { Process, ProcessTable } from "../../../src/remote-run/agents/ProcessTable.ts"

const process = (pid: number, parent: number, session: number, start = pid): Process => ({
  pid,
  parent,
  session,
  start,
  zombie: false
})

const table = (...processes: ReadonlyArray<Process>): ProcessTable =>
  new Map(processes.map((process) => [process.pid, process]))

/** The family that process 100 leads. */
const family = (given: Partial<AgentFamily.AgentFamily> = {}): AgentFamily.AgentFamily => ({
  leader: 100,
  cookie: "mine",
  mark: 7,
  since: 100,
  exited: () => false,
  members: new Map([[100, process(100, 1, 100)]]),
  sessions: new Set([100]),
  ...given
})

const nothing: AgentFamily.Traces = { cookie: undefined, mark: undefined }

const pidsOf = (
  one: AgentFamily.AgentFamily,
  processes: ReadonlyArray<Process>,
  traces: Readonly<Record<number, Partial<AgentFamily.Traces>>> = {}
) =>
  (
    AgentFamily.attribute(table(...processes), [one], ({ pid }) => ({ ...nothing, ...traces[pid] })).get(
      one
    ) ?? []
  ).map(({ pid }) => pid)

const init = process(1, 0, 1, 0)

describe("a family is", () => {
  it("its leader and all descendants, in whatever sessions", () => {
    const found = pidsOf(family(), [
      init,
      process(100, 1, 100),
      process(101, 100, 101),
      process(102, 101, 102)
    ])
    assert.deepStrictEqual(found, [100, 101, 102])
  })

  it("those that are left in its session when their parents are gone", () => {
    assert.deepStrictEqual(pidsOf(family(), [init, process(103, 1, 100)]), [103])
  })

  it("members seen before, though nothing ties them to it any more", () => {
    const members = new Map([[104, process(104, 101, 104)]])
    assert.deepStrictEqual(pidsOf(family({ members }), [init, process(104, 1, 104)]), [104])
  })

  it("those with its cookie or its mark, and their descendants", () => {
    const processes = [init, process(105, 1, 105), process(106, 1, 106), process(107, 106, 107)]
    const found = pidsOf(family(), processes, { 105: { cookie: "mine" }, 106: { mark: 7 } })
    assert.deepStrictEqual(found, [105, 106, 107])
  })
})

describe("a family is not", () => {
  it("strangers, nor those with another's cookie or mark", () => {
    const processes = [init, process(50, 1, 50), process(108, 1, 108), process(109, 1, 109)]
    const found = pidsOf(family(), processes, { 108: { cookie: "other" }, 109: { mark: 8 } })
    assert.deepStrictEqual(found, [])
  })

  it("a process that has a member's number since", () => {
    assert.deepStrictEqual(pidsOf(family(), [init, process(100, 1, 100, 900)]), [])
  })

  it("a session that has its number since, led by a stranger", () => {
    const processes = [init, process(100, 1, 100, 900), process(901, 100, 100)]
    assert.deepStrictEqual(pidsOf(family(), processes), [])
  })

  it("a process that is older than the one whose number its parent has", () => {
    assert.deepStrictEqual(pidsOf(family(), [init, process(100, 1, 100), process(99, 100, 99)]), [100])
  })

  it("a process with its mark that is older than it", () => {
    assert.deepStrictEqual(pidsOf(family(), [init, process(60, 1, 60)], { 60: { mark: 7 } }), [])
  })
})

describe("for any table, also one read while processes come and go,", () => {
  const processes = fc.uniqueArray(
    fc.record({
      pid: fc.integer({ min: 2, max: 40 }),
      parent: fc.integer({ min: 0, max: 40 }),
      session: fc.integer({ min: 1, max: 40 }),
      start: fc.integer({ min: 0, max: 60 }),
      zombie: fc.constant(false)
    }),
    { selector: ({ pid }) => pid, maxLength: 30 }
  )
  const families = fc.array(fc.integer({ min: 2, max: 40 }), { maxLength: 4 })

  it("each process is of one family at most, and each member's child that is younger is a member", () => {
    fc.assert(
      fc.property(processes, families, (processes, leaders) => {
        const all = table(...processes)
        const given = [...new Set(leaders)].map((leader) => {
          const found = all.get(leader)
          const members = new Map(found === undefined ? [] : [[leader, found]])
          return family({
            leader,
            cookie: `${leader}`,
            mark: undefined,
            members,
            sessions: new Set([leader])
          })
        })
        const found = AgentFamily.attribute(all, given, () => nothing)
        const owners = new Map<number, AgentFamily.AgentFamily>()
        for (const [one, members] of found)
          for (const { pid } of members) {
            assert.isFalse(owners.has(pid))
            owners.set(pid, one)
          }
        for (const { leader = 0 } of given) if (all.has(leader)) assert.isTrue(owners.has(leader))
        for (const { pid, parent, start } of processes) {
          const above = all.get(parent)
          if (above !== undefined && above.start < start && owners.has(parent)) assert.isTrue(owners.has(pid))
        }
      })
    )
  })
})
