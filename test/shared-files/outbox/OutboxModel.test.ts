/**
 * The outbox against any sequence of uploads, answers of the policy server, times, failures of the disk, and stops:
 * nothing that was acknowledged is lost, and the policy server sees no version go backwards.
 */
import { Effect, FastCheck, Logger, LogLevel, Random } from "effect"
import { describe, expect, it } from "vitest"
import type { Answer } from "../../../src/testing/ScriptedUpstream.ts"
import { run, type Step } from "../../support/OutboxWorld.ts"
import { type Commits, oneByOne, threaded } from "../../support/ThreadedDisk.ts"

const fileNames = FastCheck.nat(1)
const seed = FastCheck.nat()
const second = 1000
const day = 86_400 * second

const upload = FastCheck.record({
  file: fileNames,
  ttl: FastCheck.oneof(
    { weight: 6, arbitrary: FastCheck.constant(undefined) },
    { weight: 1, arbitrary: FastCheck.constantFrom(3, 60, 3600) }
  ),
  /** The client goes away behind so many turns. */
  patience: FastCheck.oneof(
    { weight: 6, arbitrary: FastCheck.constant(undefined) },
    { weight: 1, arbitrary: FastCheck.nat(40) }
  )
})

const answers = FastCheck.array(
  FastCheck.constantFrom<Answer[]>("take", "take", "reject", "fail", "unreachable", "hang", "takeAndBreak"),
  { minLength: 1, maxLength: 4 }
)

const step: FastCheck.Arbitrary<Step> = FastCheck.oneof(
  {
    weight: 8,
    arbitrary: FastCheck.record({
      do: FastCheck.constant("upload" as const),
      uploads: FastCheck.array(upload, { minLength: 1, maxLength: 3 })
    })
  },
  { weight: 4, arbitrary: FastCheck.record({ do: FastCheck.constant("answer" as const), answers }) },
  {
    weight: 5,
    arbitrary: FastCheck.record({
      do: FastCheck.constant("pass" as const),
      millis: FastCheck.constantFrom(10, second, 10 * second, 400 * second, 3600 * second, 8 * day)
    })
  },
  {
    weight: 1,
    arbitrary: FastCheck.record({
      do: FastCheck.constant("setClock" as const),
      millis: FastCheck.integer({ min: -day, max: day })
    })
  },
  { weight: 2, arbitrary: FastCheck.record({ do: FastCheck.constant("letGo" as const) }) },
  { weight: 1, arbitrary: FastCheck.record({ do: FastCheck.constant("retry" as const) }) },
  {
    weight: 1,
    arbitrary: FastCheck.record({ do: FastCheck.constant("delete" as const), at: FastCheck.nat(3) })
  },
  {
    weight: 4,
    arbitrary: FastCheck.record({
      do: FastCheck.constant("fail" as const),
      at: FastCheck.integer({ min: 1, max: 40 }),
      code: FastCheck.constantFrom("EIO" as const, "ENOSPC" as const),
      times: FastCheck.constantFrom(1, 2)
    })
  },
  {
    weight: 4,
    arbitrary: FastCheck.record({
      do: FastCheck.constant("stop" as const),
      how: FastCheck.constantFrom("power" as const, "kill" as const),
      at: FastCheck.integer({ min: 1, max: 40 })
    })
  },
  {
    weight: 2,
    arbitrary: FastCheck.record({
      do: FastCheck.constant("restart" as const),
      how: FastCheck.constantFrom("power" as const, "kill" as const, "gently" as const)
    })
  }
)

const violationsOf = (
  steps: ReadonlyArray<Step>,
  seed: number,
  retriesRefused: boolean,
  more: { readonly firstKilledAt?: number; readonly commits?: Commits; readonly isOlder?: boolean } = {}
) =>
  run(steps, { seed, retriesRefused, ...more }).pipe(
    Effect.withRandom(Random.make(seed)),
    Logger.withMinimumLogLevel(LogLevel.None),
    Effect.runPromise
  )

const once = { file: 0, ttl: undefined, patience: undefined }

/** What went wrong before. */
const examples: Array<[Array<Step>, number, boolean]> = [
  [
    [
      { do: "answer", answers: ["fail"] },
      { do: "upload", uploads: [once] },
      { do: "setClock", millis: -day }
    ],
    0,
    false
  ],
  [
    [
      { do: "answer", answers: ["unreachable"] },
      { do: "stop", how: "power", at: 1 },
      { do: "upload", uploads: [once] },
      { do: "upload", uploads: [once, { ...once, patience: 0 }] },
      { do: "upload", uploads: [once, once] },
      { do: "fail", at: 30, code: "EIO" },
      { do: "upload", uploads: [once] }
    ],
    786_851_008,
    false
  ],
  [
    [
      { do: "upload", uploads: [once, once, { ...once, file: 1 }] },
      { do: "pass", millis: 8 * day },
      { do: "upload", uploads: [once] },
      { do: "fail", at: 34, code: "EIO", times: 2 },
      { do: "upload", uploads: [{ ...once, file: 1 }, once, once] }
    ],
    23,
    false
  ]
]

describe("the outbox", () => {
  it.each<{
    readonly how: string
    readonly commits: Commits
    readonly isOlder: boolean
    readonly numRuns: number
  }>([
    { how: "where it commits one step after the other", commits: oneByOne, isOlder: false, numRuns: 120 },
    { how: "where it commits by the thread", commits: threaded, isOlder: false, numRuns: 60 },
    { how: "where an older relay has left it", commits: oneByOne, isOlder: true, numRuns: 60 }
  ])(
    "loses nothing that it acknowledged, and never goes back to an older version, $how",
    async (given) => {
      const { commits, isOlder, numRuns } = given
      await FastCheck.assert(
        FastCheck.asyncProperty(
          FastCheck.array(step, { maxLength: 25 }),
          seed,
          FastCheck.boolean(),
          async (steps, seed, retriesRefused) => {
            expect((await violationsOf(steps, seed, retriesRefused, { commits, isOlder })).join("\n")).toBe(
              ""
            )
          }
        ),
        { numRuns, examples }
      )
    },
    120_000
  )

  it("loses nothing behind a first start that was killed, at whichever operation", async () => {
    for (let at = 1; at <= 40; at++) {
      const steps: Array<Step> = [
        { do: "answer", answers: ["fail"] },
        { do: "upload", uploads: [once] },
        { do: "restart", how: "power" },
        { do: "upload", uploads: [once] }
      ]
      expect({ at, violations: await violationsOf(steps, at, false, { firstKilledAt: at }) }).toEqual({
        at,
        violations: []
      })
    }
  }, 120_000)

  it("sends what an upload that failed has left in its place", async () => {
    for (let at = 1; at <= 40; at++) {
      const steps: Array<Step> = [
        { do: "fail", code: "EIO", at, times: 2 },
        { do: "upload", uploads: [once] }
      ]
      expect({ at, violations: await violationsOf(steps, at, false) }).toEqual({ at, violations: [] })
    }
  }, 120_000)

  /** One version after the other, and what the policy server answers to the first and to the next. */
  const scenarios: Array<{ name: string; first: Answer; next: Answer }> = [
    { name: "that waits", first: "fail", next: "take" },
    { name: "that may have arrived", first: "takeAndBreak", next: "take" },
    { name: "that is being sent", first: "hang", next: "take" },
    { name: "that is refused", first: "reject", next: "fail" }
  ]

  it.each(scenarios)(
    "replaces a version $name, whichever operation of the disk is the last or fails",
    async (given) => {
      const { first, next } = given
      for (let at = 1; at <= 60; at++)
        for (const trouble of [
          { do: "stop", how: "power", at },
          { do: "stop", how: "kill", at },
          { do: "fail", code: "EIO", at }
        ] as const) {
          const steps: Array<Step> = [
            { do: "answer", answers: [first] },
            { do: "upload", uploads: [once] },
            { do: "answer", answers: [next] },
            trouble,
            { do: "upload", uploads: [once] },
            { do: "letGo" },
            { do: "pass", millis: 10 * second }
          ]
          expect({ trouble, violations: await violationsOf(steps, at, false) }).toEqual({
            trouble,
            violations: []
          })
        }
    },
    120_000
  )
})
