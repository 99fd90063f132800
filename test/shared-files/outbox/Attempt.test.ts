import { describe, expect, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { Outbox } from "../../../src/shared-files/outbox/Outbox.ts"
import { SharedFileStore } from "../../../src/shared-files/store/SharedFileStore.ts"
import { ScriptedUpstream } from "../../../src/testing/ScriptedUpstream.ts"
import {
  hashOf,
  memory,
  metadataOf,
  nameOf,
  outboxLayer,
  pass,
  spoil,
  topology,
  upload
} from "../../support/Outboxes.ts"

const name = nameOf("file.txt")
const location = { folders: ["far", "source"], file: "file.txt" }
const far = { far: { hostname: "far.example.com" } }

const setUp = () => {
  const upstream = new ScriptedUpstream()
  const nodes = topology()
  upstream.answer = () => "fail"
  const disk = memory()
  return { upstream, nodes, disk, layer: outboxLayer({ upstream, disk, topology: nodes }) }
}

const entries = Effect.gen(function* () {
  return (yield* (yield* Outbox).list(10, Option.none())).entries
})

describe("an attempt", () => {
  it.effect("stores what is for a node that is below this relay by now, where that belongs", () => {
    const { upstream, nodes, layer } = setUp()
    return Effect.gen(function* () {
      yield* upload(name, "hello")
      nodes.tree = { ...nodes.tree, far: { hostname: "far.example.com", relays: ["near"] } }
      yield* pass("1 second")
      const store = yield* SharedFileStore
      expect(
        yield* store.has({ folders: ["near", "far", "source"], file: "file.txt" }, hashOf("hello"))
      ).toBe(true)
      expect(yield* entries).toEqual([])
      expect(upstream.attempts).toBe(1)
    }).pipe(Effect.provide(layer))
  })

  it.effect("stores it for as long as the source said, not longer", () => {
    const { nodes, layer } = setUp()
    return Effect.gen(function* () {
      yield* upload(name, "hello", { expires: Option.some(60) })
      nodes.tree = { ...nodes.tree, ...far }
      yield* pass("1 second")
      const store = yield* SharedFileStore
      expect(yield* store.has(location, hashOf("hello"))).toBe(true)
      yield* pass("59 seconds")
      expect(yield* store.has(location, hashOf("hello"))).toBe(false)
    }).pipe(Effect.provide(layer))
  })

  it.effect("does not put it in the place of a file that was stored later", () => {
    const { nodes, layer } = setUp()
    return Effect.gen(function* () {
      yield* pass("1 hour")
      yield* upload(name, "hello")
      const store = yield* SharedFileStore
      yield* Effect.gen(function* () {
        const turn = yield* store.turn(location)
        const incoming = yield* store.begin
        yield* incoming.write(Buffer.from("newer"))
        const date = Option.some("1970-01-01T01:00:00.500Z")
        yield* store.commit(location, turn, incoming, metadataOf("newer", { date }))
      }).pipe(Effect.scoped)
      nodes.tree = { ...nodes.tree, ...far }
      yield* pass("1 second")
      expect(yield* store.has(location, hashOf("newer"))).toBe(true)
      expect(yield* entries).toEqual([])
    }).pipe(Effect.provide(layer))
  })

  it.effect("sends what is left of the ttl, and nothing once that has passed", () => {
    const { upstream, layer } = setUp()
    return Effect.gen(function* () {
      const ttls: Array<string> = []
      upstream.answer = ({ ttl }) => {
        ttls.push(ttl)
        return "fail"
      }
      yield* upload(name, "hello", { expires: Option.some(5) })
      yield* pass("1 hour")
      expect(ttls[0]).toBe("5s")
      expect(ttls.length).toBeGreaterThanOrEqual(2)
      const seconds = ttls.map((ttl) => Number.parseInt(ttl, 10))
      expect(seconds).toEqual(seconds.toSorted((one, other) => other - one))
      expect(Math.min(...seconds)).toBeGreaterThanOrEqual(1)
      expect(yield* entries).toEqual([])
    }).pipe(Effect.provide(layer))
  })

  it.effect("does not send for a source that is not below this relay any more", () => {
    const { upstream, nodes, layer } = setUp()
    return Effect.gen(function* () {
      yield* upload(name, "hello")
      nodes.tree = {}
      yield* pass("1 second")
      expect(yield* entries).toMatchObject([
        { state: "refused", attempts: 2, last_error: "no node source below this relay any more" }
      ])
      expect(upstream.attempts).toBe(1)
      const outbox = yield* Outbox
      expect(yield* Effect.flip(outbox.has(name, hashOf("hello")))).toMatchObject({ status: 403 })
    }).pipe(Effect.provide(layer))
  })

  for (const isBelow of [false, true])
    it.effect(
      `does not ${isBelow ? "store" : "send"} the last of a great content that is not what was written`,
      () => {
        const { upstream, nodes, disk, layer } = setUp()
        return Effect.gen(function* () {
          yield* upload(name, "hello ".repeat(30_000))
          yield* spoil(disk)
          upstream.answer = () => "take"
          if (isBelow) nodes.tree = { ...nodes.tree, ...far }
          yield* pass("1 second")
          expect(upstream.attempts).toBe(isBelow ? 1 : 2)
          expect(upstream.taken).toEqual([])
          expect(yield* (yield* SharedFileStore).has(location, hashOf("hello ".repeat(30_000)))).toBe(false)
          expect(yield* (yield* Outbox).status).toMatchObject({
            waiting: { entries: 0 },
            refused: { entries: 0 }
          })
        }).pipe(Effect.provide(layer))
      }
    )

  it.effect("is put off while the nodes list was never loaded, and says so", () => {
    const { upstream, nodes, layer } = setUp()
    return Effect.gen(function* () {
      nodes.tree = {}
      nodes.neverLoaded = true
      upstream.answer = () => "take"
      expect(yield* upload(name, "hello")).toBe("queued")
      yield* pass("1 minute")
      expect(yield* entries).toMatchObject([
        { state: "waiting", last_error: "the nodes list was not loaded yet" }
      ])
      expect(upstream.attempts).toBe(0)
      nodes.tree = topology().tree
      nodes.neverLoaded = false
      yield* pass("5 minutes")
      expect(upstream.taken).toHaveLength(1)
    }).pipe(Effect.provide(layer))
  })

  it.effect("backs off the entry alone that the policy server does not want now", () => {
    const { upstream, layer } = setUp()
    return Effect.gen(function* () {
      upstream.answer = ({ name }) => (name.fileId === "busy" ? "fail" : "take")
      expect(yield* upload(nameOf("busy"), "hello")).toBe("queued")
      for (let count = 0; count < 20; count++)
        expect(yield* upload(nameOf(`other-${count}`), "hello")).toBe("stored")
      expect(upstream.attempts).toBe(21)
      expect((yield* (yield* Outbox).status).upstream).toEqual(Option.none())
    }).pipe(Effect.provide(layer))
  })
})
