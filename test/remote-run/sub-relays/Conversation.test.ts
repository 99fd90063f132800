import type { ServerResponse } from "node:http"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Option, TestClock } from "effect"
import { PeerClient } from "../../../src/peers/PeerClient.ts"
import { PeerUnreachable } from "../../../src/peers/PeerUnreachable.ts"
import { RemoteRun } from "../../../src/remote-run/RemoteRun.ts"
import {
  done,
  endEvent,
  ndjson,
  runEvent,
  type Script,
  scripted,
  startEvent
} from "../../../src/testing/ScriptedSubRelay.ts"
import { certificateNamed } from "../../support/Keys.ts"
import {
  behind,
  bytesOf,
  endOf,
  order,
  parse,
  relayAbove,
  running,
  turn
} from "../../support/ScriptedSubRelay.ts"
import { eventually, holds } from "../../support/Until.ts"

const other = certificateNamed("other", [["UID", "relay"]])

describe("a sub-relay that can't be reached", () => {
  const failing = (reason: PeerUnreachable["reason"]) => {
    let tries = 0
    const layer = Layer.succeed(PeerClient, {
      connect: () =>
        Effect.suspend(() => {
          tries++
          return new PeerUnreachable({ reason, message: "told so" })
        }),
      pool: () => Effect.die("not asked for")
    })
    return { layer, tries: () => tries }
  }

  it.scoped("is tried for three times, a quarter and a half of a second apart", () =>
    Effect.gen(function* () {
      const { layer, tries } = failing("connection")
      const events = yield* Effect.fork(
        Effect.provide(running(["A"]), relayAbove({ port: 1, tree: behind("A"), peerClient: layer }))
      )
      const triesAre = (count: number) =>
        Effect.gen(function* () {
          yield* eventually(() => tries() >= count)
          for (let i = 0; i < 10; i++) yield* turn
          expect(tries()).toBe(count)
        })
      yield* triesAre(1)
      yield* TestClock.adjust("249 millis")
      yield* triesAre(1)
      yield* TestClock.adjust("1 millis")
      yield* triesAre(2)
      yield* TestClock.adjust("499 millis")
      yield* triesAre(2)
      yield* TestClock.adjust("1 millis")
      expect(endOf(yield* Fiber.join(events), "A")).toMatchObject({
        error: { _tag: "UpstreamFatal", message: "sub-relay relay: told so" }
      })
      expect(tries()).toBe(3)
    })
  )

  it.scoped("is not waited for longer than 10 s in all", () =>
    Effect.gen(function* () {
      let connecting = false
      const layer = Layer.succeed(PeerClient, {
        connect: () =>
          Effect.suspend(() => {
            connecting = true
            return Effect.never
          }),
        pool: () => Effect.die("not asked for")
      })
      const events = yield* Effect.fork(
        Effect.provide(running(["A"]), relayAbove({ port: 1, tree: behind("A"), peerClient: layer }))
      )
      yield* eventually(() => connecting)
      yield* TestClock.adjust("9999 millis")
      for (let i = 0; i < 50; i++) yield* turn
      expect(Option.isNone(yield* Fiber.poll(events))).toBe(true)
      yield* TestClock.adjust("1 millis")
      expect(endOf(yield* Fiber.join(events), "A")).toMatchObject({
        error: { message: "sub-relay relay: 127.0.0.1:1: no connection in 10s" }
      })
    })
  )

  it.scopedLive("is not tried for again when it has the wrong certificate, and gets nothing", () =>
    Effect.gen(function* () {
      const { asked, connections, port } = yield* scripted(() => {})
      const events = yield* Effect.provide(
        running(["A"]),
        relayAbove({ port, tree: behind("A"), pinned: other })
      )
      expect(endOf(events, "A")).toMatchObject({ error: { _tag: "UpstreamFatal" } })
      expect(asked).toEqual([])
      expect(connections()).toBe(1)
    })
  )
})

describe("a sub-relay that falls silent", () => {
  const silences: ReadonlyArray<{ readonly what: string; readonly script: Script }> = [
    { what: "before it answers", script: () => {} },
    { what: "in the middle", script: (response) => ndjson(response, runEvent(["A"]), startEvent("A")) }
  ]

  it.scoped.each(silences)("$what is given up after 60 s", ({ script }) =>
    Effect.gen(function* () {
      const { asked, port } = yield* scripted(script)
      yield* Effect.gen(function* () {
        const remoteRun = yield* RemoteRun
        const run = yield* remoteRun.start(order(["A"]))
        const reading = yield* Effect.fork(bytesOf(run, "ndjson"))
        yield* eventually(() => asked.length > 0)
        // The reader asks again and again; time passes once all that was said is heard.
        for (let i = 0; i < 100; i++) yield* turn
        yield* TestClock.adjust("59 seconds")
        for (let i = 0; i < 20; i++) yield* turn
        expect(Option.isNone(yield* Fiber.poll(reading))).toBe(true)
        yield* TestClock.adjust("1 seconds")
        expect(endOf(parse(yield* Fiber.join(reading)), "A")).toMatchObject({
          code: null,
          error: { _tag: "UpstreamFatal", message: expect.stringContaining("silent for 1m") }
        })
      }).pipe(Effect.provide(relayAbove({ port, tree: behind("A") })))
    })
  )

  it.scoped("but says that nothing happens is heard on", () =>
    Effect.gen(function* () {
      let answer: ServerResponse | undefined
      const { port } = yield* scripted((response) => {
        answer = response
        ndjson(response, runEvent(["A"]), startEvent("A"))
      })
      yield* Effect.gen(function* () {
        const remoteRun = yield* RemoteRun
        const run = yield* remoteRun.start(order(["A"]))
        const reading = yield* Effect.fork(bytesOf(run, "ndjson"))
        yield* eventually(() => answer !== undefined)
        yield* holds(
          "the node runs",
          Effect.map(run.summary, ({ running }) => running > 0)
        )
        for (let i = 0; i < 20; i++) {
          yield* TestClock.adjust("50 seconds")
          yield* Effect.promise(
            () => new Promise<void>((resolve) => answer?.write('{"event":"ping"}\n', () => resolve()))
          )
          for (let j = 0; j < 50; j++) yield* turn
        }
        if (answer !== undefined) ndjson(answer, endEvent("A"), done)
        expect(endOf(parse(yield* Fiber.join(reading)), "A")).toMatchObject({ code: 0 })
      }).pipe(Effect.provide(relayAbove({ port, tree: behind("A") })))
    })
  )
})
