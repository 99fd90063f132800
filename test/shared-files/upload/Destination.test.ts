/** Where a file goes when that changes while it comes. */
import { PassThrough } from "node:stream"
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, TestClock } from "effect"
import { ScriptedUpstream } from "../../../src/testing/ScriptedUpstream.ts"
import type { Topology, Tree } from "../../../src/testing/Topology.ts"
import { memory, pass } from "../../support/Outboxes.ts"
import { bodyOf, nameOf, send, tree } from "../../support/Sharing.ts"
import { has, sha512, withRelay } from "../../support/SharingRelay.ts"

describe("a file whose target comes or goes while its body does", () => {
  const name = nameOf({ target: "far" })
  const here: Tree = { ...tree, far: { hostname: "far.example.com" } }
  const moved: Tree = { ...tree, far: { hostname: "far.example.com", relays: ["relay"] } }
  const failing = () => {
    const upstream = new ScriptedUpstream()
    upstream.answer = () => "fail"
    return upstream
  }

  /** An upload that has begun, half a minute ago; it gives what completes it. */
  const begin = (text: string) =>
    Effect.gen(function* () {
      const source = new PassThrough()
      const asked = yield* Deferred.make<void>()
      const body = Effect.andThen(
        Deferred.succeed(asked, undefined),
        bodyOf(() => source)
      )
      const upload = yield* Effect.fork(send(text, undefined, { name, body }))
      yield* Deferred.await(asked)
      source.write(text.slice(0, 3))
      yield* TestClock.adjust("30 seconds")
      return Effect.suspend(() => {
        source.end(text.slice(3))
        return Fiber.join(upload)
      })
    })

  it.effect("is stored here, though it was on its way to the policy server", () => {
    const topology: Topology = { tree, neverLoaded: false }
    const upstream = failing()
    return Effect.gen(function* () {
      const complete = yield* begin("older\n")
      topology.tree = here
      expect(yield* complete).toMatchObject({ result: "stored" })
      expect(yield* has("older\n", name)).toBe(true)
      expect(upstream.attempts).toBe(0)
    }).pipe(withRelay({ nodeId: "me", upstream, topology }))
  })

  it.effect("does not take the place of one whose request began later, and was stored before", () => {
    const topology: Topology = { tree, neverLoaded: false }
    return Effect.gen(function* () {
      const complete = yield* begin("older\n")
      topology.tree = here
      expect(yield* send("newer\n", undefined, { name })).toMatchObject({ result: "stored" })
      yield* TestClock.adjust("20 seconds")
      // As one that was replaced at once.
      expect(yield* complete).toMatchObject({ hash: sha512("older\n") })
      expect(yield* has("newer\n", name)).toBe(true)
    }).pipe(withRelay({ nodeId: "me", upstream: failing(), topology }))
  })

  it.effect("is to be sent again when it was to be stored here, and nothing of it is kept", () =>
    Effect.forEach([tree, moved], (later) => {
      const topology: Topology = { tree: here, neverLoaded: false }
      const disk = memory()
      return Effect.gen(function* () {
        const complete = yield* begin("older\n")
        topology.tree = later
        expect(yield* Effect.flip(complete)).toMatchObject({ _tag: "TooBusy", retryAfterSeconds: 1 })
        topology.tree = here
        expect(yield* has("older\n", name)).toBe(false)
        expect(yield* disk.list("/store/~tmp")).toEqual([])
      }).pipe(withRelay({ nodeId: "me", upstream: failing(), topology, disk }))
    })
  )

  it.effect("does not keep one out that began later and waits, once the target is back", () => {
    const topology: Topology = { tree: here, neverLoaded: false }
    return Effect.gen(function* () {
      const complete = yield* begin("older\n")
      topology.tree = tree
      expect(yield* send("newer\n", undefined, { name })).toMatchObject({ result: "queued" })
      yield* TestClock.adjust("1 second")
      yield* Effect.ignore(complete)
      topology.tree = here
      yield* pass("10 minutes")
      expect(yield* has("newer\n", name)).toBe(true)
    }).pipe(withRelay({ nodeId: "me", upstream: failing(), topology }))
  })
})
