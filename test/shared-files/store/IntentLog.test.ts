import { describe, expect, it } from "@effect/vitest"
import { Effect, FastCheck } from "effect"
import * as IntentLog from "../../../src/shared-files/store/IntentLog.ts"
import { CrashingDisk } from "../../../src/testing/CrashingDisk.ts"

const logs = () => {
  const { disk, files } = withFiles()
  return { disk, files, log: IntentLog.make(disk, "/log", 0o640) }
}

const withFiles = () => {
  const crashing = CrashingDisk.make()
  return {
    disk: crashing.disk,
    files: () => new Map(Array.from(crashing.files(), ([path, { content }]) => [path, content]))
  }
}

const records = (files: ReadonlyMap<string, Buffer>) => [...files.values()].flatMap(IntentLog.parse).sort()

describe("the log of intents", () => {
  it.effect.prop(
    "has what was noted and not released, whatever stood in its places before",
    [FastCheck.array(FastCheck.record({ length: FastCheck.nat(9000), isKept: FastCheck.boolean() }))],
    ([given]) =>
      Effect.gen(function* () {
        const { disk, files, log } = logs()
        yield* disk.makeFolder("/log", 0o750)
        const kept: Array<string> = []
        for (const [at, { length, isKept }] of given.entries()) {
          const text = `{"at":${at},"more":"${"ä".repeat(length)}"}`
          const { step, release } = log.note(text)
          yield* disk.sequence([step])
          if (isKept) kept.push(text)
          else yield* release
        }
        const found = records(files())
        for (const text of kept) expect(found).toContain(text)
        // What was released may be there until something else is in its place.
        if (kept.length === 0) expect(files().size).toBe(0)
      })
  )

  it.effect.prop(
    "gives each record that is under way a place of its own",
    [FastCheck.array(FastCheck.nat(9), { maxLength: 600 })],
    ([released]) =>
      Effect.gen(function* () {
        const { log } = logs()
        const underWay: Array<IntentLog.Noted> = []
        for (const one of released) {
          underWay.push(log.note("a record"))
          // Some end, in any order.
          if (one < 4) for (const { release } of underWay.splice(one, 1)) yield* Effect.ignore(release)
          const places = underWay.map(({ step }) => (step._tag === "Note" ? `${step.path} ${step.at}` : ""))
          expect(new Set(places).size).toBe(places.length)
        }
      })
  )

  it.effect("writes whole places: no record gives the file another end within one", () =>
    Effect.gen(function* () {
      const { disk, files, log } = logs()
      yield* disk.makeFolder("/log", 0o750)
      const lengths = []
      for (const text of ["short", "é".repeat(1000), "short"]) {
        yield* disk.sequence([log.note(text).step])
        lengths.push(...Array.from(files().values(), ({ length }) => length))
      }
      expect(lengths).toEqual([4096, 8192, 12_288])
    })
  )

  it.effect("writes over a place that is free, and begins another file where one may be broken", () =>
    Effect.gen(function* () {
      const { disk, files, log } = logs()
      yield* disk.makeFolder("/log", 0o750)
      const [first, second] = [log.note("first, which is long"), log.note("second")]
      yield* disk.sequence([first.step, second.step])
      yield* first.release
      const third = log.note("third")
      yield* disk.sequence([third.step])
      expect(records(files())).toEqual(["second", "third"])
      log.renew()
      yield* disk.sequence([log.note("fourth").step])
      expect(files().size).toBe(2)
      yield* second.release
      expect(files().size).toBe(2)
      yield* third.release
      expect(records(files())).toEqual(["fourth"])
      expect([...files().keys()].every((path) => log.isOwn(path.slice("/log/".length)))).toBe(true)
    })
  )

  it.effect.prop(
    "keeps what was synced when the power goes while another record is written",
    [FastCheck.integer({ min: 1, max: 5000 }), FastCheck.integer({ min: 1, max: 5000 }), FastCheck.integer()],
    ([first, second, seed]) =>
      Effect.gen(function* () {
        const crashing = CrashingDisk.make()
        const log = IntentLog.make(crashing.disk, "/log", 0o640)
        yield* crashing.disk.makeFolder("/log", 0o750)
        yield* crashing.disk.syncFolder("/")
        const synced = "a".repeat(first)
        yield* crashing.disk.sequence([log.note(synced).step, { _tag: "SyncFolder", path: "/log" }])
        // The second record is written, and never synced.
        crashing.failWhen(({ kind }) => (kind === "sync" ? "stop" : undefined))
        yield* Effect.exit(crashing.disk.sequence([log.note("b".repeat(second)).step]))
        const left = crashing.restart(seed).files()
        expect([...left.values()].flatMap(({ content }) => IntentLog.parse(content))).toContain(synced)
      })
  )

  it.prop(
    "has no record that a stop has left a part of",
    [FastCheck.nat(60), FastCheck.string({ minLength: 1, maxLength: 60 })],
    ([length, other]) => {
      const text = JSON.stringify({ file: "a", other })
      const whole = Buffer.from(`${IntentLog.checkOf(text)} ${text}\n`)
      expect(IntentLog.parse(whole)).toEqual([text])
      const torn = Buffer.concat([whole.subarray(0, length), Buffer.from(`${"?".repeat(whole.length)}\n`)])
      const isWhole = length >= whole.length
      expect(IntentLog.parse(torn)).toEqual(isWhole ? [text] : [])
      expect(IntentLog.parse(whole.subarray(0, Math.min(length, whole.length - 1)))).toEqual([])
    }
  )
})
