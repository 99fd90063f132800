import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, Logger, TestClock } from "effect"
import * as FollowedSets from "../../src/access/FollowedSets.ts"
import { Resolver } from "../../src/access/Resolver.ts"
import { ScriptedNames } from "../support/ScriptedNames.ts"

const rules = { one: ["10.0.0.0/8", "relay.lan"], both: ["relay.lan", "other.lan"] }

/** The log's lines: the message, and what is annotated in the order of its names. */
const captured = (log: Array<string>) =>
  Logger.replace(
    Logger.defaultLogger,
    Logger.make(({ annotations, message }) => {
      const named = [...annotations].sort(([one], [other]) => one.localeCompare(other))
      log.push([message, ...named.map(([_, value]) => value)].join(" "))
    })
  )

const aMinute = TestClock.adjust("1 minute")

describe("sets that follow names", () => {
  it.scoped("have what is no name from the start, and a name's addresses once it was resolved", () => {
    const names = new ScriptedNames()
    return Effect.gen(function* () {
      yield* names.set("relay.lan", ["192.0.2.1", "fe80::1%eth0"])
      yield* names.set("other.lan", ["192.0.2.2"])
      const sets = yield* FollowedSets.make(rules)
      expect(["10.1.2.3", "192.0.2.1", "fe80::1", "192.0.2.2"].map(sets("one"))).toEqual([
        true,
        true,
        true,
        false
      ])
      expect(["10.1.2.3", "192.0.2.1", "fe80::1", "192.0.2.2"].map(sets("both"))).toEqual([
        false,
        true,
        true,
        true
      ])
      expect(names.asked).toEqual(["relay.lan", "other.lan"])
    }).pipe(Effect.provide(names.layer))
  })

  it.scoped("follow a name that moves, within a minute", () => {
    const names = new ScriptedNames()
    return Effect.gen(function* () {
      yield* names.set("relay.lan", ["192.0.2.1"])
      const sets = yield* FollowedSets.make(rules)
      yield* names.set("relay.lan", ["192.0.2.7"])
      yield* TestClock.adjust("59 seconds")
      expect(sets("one")("192.0.2.1")).toBe(true)
      yield* TestClock.adjust("1 second")
      expect(["192.0.2.1", "192.0.2.7"].map(sets("one"))).toEqual([false, true])
    }).pipe(Effect.provide(names.layer))
  })

  it.scoped("keep the last addresses of a name that fails, and say so once", () => {
    const names = new ScriptedNames()
    const log: Array<string> = []
    return Effect.gen(function* () {
      yield* names.set("relay.lan", ["192.0.2.1"])
      const sets = yield* FollowedSets.make({ one: rules.one })
      expect(log).toEqual([])
      yield* names.set("relay.lan", "none")
      yield* aMinute
      yield* aMinute
      expect(sets("one")("192.0.2.1")).toBe(true)
      expect(log).toEqual(["a host name of the access rules does not resolve ENOTFOUND 192.0.2.1 relay.lan"])
      yield* names.set("relay.lan", [])
      yield* aMinute
      expect(sets("one")("192.0.2.1")).toBe(true)
      yield* names.set("relay.lan", ["192.0.2.7"])
      yield* aMinute
      yield* aMinute
      expect(["192.0.2.1", "192.0.2.7"].map(sets("one"))).toEqual([false, true])
      expect(log.slice(1)).toEqual(["a host name of the access rules resolves again relay.lan"])
    }).pipe(Effect.provide([names.layer, captured(log)]))
  })

  it.scoped(
    "are there after 2 s where a name gets no answer, and without waiting for it have the others",
    () => {
      const names = new ScriptedNames()
      const log: Array<string> = []
      return Effect.gen(function* () {
        yield* names.set("relay.lan", "silence")
        yield* names.set("other.lan", ["192.0.2.2"])
        const starting = yield* Effect.fork(FollowedSets.make(rules))
        yield* TestClock.adjust("1999 millis")
        expect(yield* Fiber.poll(starting)).toMatchObject({ _tag: "None" })
        yield* TestClock.adjust("1 millis")
        const sets = yield* Fiber.join(starting)
        expect(["192.0.2.1", "192.0.2.2"].map(sets("both"))).toEqual([false, true])
        yield* names.set("relay.lan", ["192.0.2.1"])
        yield* TestClock.adjust("68 seconds")
        expect(log).toEqual([
          "a host name of the access rules does not resolve no answer in 10s  relay.lan",
          "a host name of the access rules resolves again relay.lan"
        ])
        expect(["192.0.2.1", "192.0.2.2"].map(sets("both"))).toEqual([true, true])
      }).pipe(Effect.provide([names.layer, captured(log)]))
    }
  )

  it.effect("ask no more when their scope is closed", () => {
    const names = new ScriptedNames()
    return Effect.gen(function* () {
      yield* Effect.scoped(FollowedSets.make(rules))
      const { length } = names.asked
      yield* aMinute
      expect(names.asked.length).toBe(length)
      expect(length).toBeGreaterThan(0)
    }).pipe(Effect.provide(names.layer))
  })

  it.scoped("ask nobody where there is no name, and leave out what can't be used", () => {
    const names = new ScriptedNames()
    const log: Array<string> = []
    return Effect.gen(function* () {
      const sets = yield* FollowedSets.make({ one: ["10.0.0.0/33", "192.0.2.1"] })
      yield* aMinute
      expect(names.asked).toEqual([])
      expect(["10.0.0.1", "192.0.2.1"].map(sets("one"))).toEqual([false, true])
      expect(log).toEqual(["entries of the access rules are neither address, CIDR nor host name 10.0.0.0/33"])
    }).pipe(Effect.provide([names.layer, captured(log)]))
  })
})

it.live("the system's resolver knows localhost, and says what it does not know", () =>
  Effect.gen(function* () {
    const { resolve } = yield* Resolver
    const addresses = yield* resolve("localhost")
    expect(addresses.every((address) => address === "127.0.0.1" || address === "::1")).toBe(true)
    expect(addresses.length).toBeGreaterThan(0)
    expect((yield* Effect.flip(resolve("no such name")))._tag).toBe("ResolveError")
  })
)
