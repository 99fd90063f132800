import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, Option } from "effect"
import { Outbox } from "../../../src/shared-files/outbox/Outbox.ts"
import { ScriptedUpstream } from "../../../src/testing/ScriptedUpstream.ts"
import { hashOf, memory, nameOf, outboxLayer, pass, upload } from "../../support/Outboxes.ts"

const name = nameOf("file.txt")

const setUp = (options: Partial<Parameters<typeof outboxLayer>[0]> = {}) => {
  const upstream = new ScriptedUpstream()
  const disk = memory()
  return { upstream, disk, layer: outboxLayer({ upstream, disk, ...options }) }
}

describe("Outbox", () => {
  it.effect("tells the sender that the policy server took the file over, and keeps nothing of it", () => {
    const { upstream, layer } = setUp()
    return Effect.gen(function* () {
      expect(yield* upload(name, "hello")).toBe("stored")
      expect(upstream.taken).toMatchObject([{ name, ttl: "36500d", content: "hello" }])
      const { status, list } = yield* Outbox
      expect(yield* status).toMatchObject({ waiting: { entries: 0, bytes: 0 } })
      expect(yield* list(10, Option.none())).toEqual({ entries: [], next: null })
    }).pipe(Effect.provide(layer))
  })

  it.effect("queues a file that the policy server does not take now, and sends it again, ever later", () => {
    const { upstream, layer } = setUp()
    return Effect.gen(function* () {
      upstream.answer = () => "fail"
      expect(yield* upload(name, "hello")).toBe("queued")
      const { list } = yield* Outbox
      const { entries } = yield* list(10, Option.none())
      expect(entries).toMatchObject([
        {
          target: "far",
          source: "source",
          file_id: "file.txt",
          state: "waiting",
          attempts: 1,
          last_error: "answered 503",
          size: 5
        }
      ])
      yield* pass("1 second")
      expect(upstream.attempts).toBe(2)
      yield* pass("1 second")
      expect(upstream.attempts).toBe(2)
      upstream.answer = () => "take"
      yield* pass("1 second")
      expect(upstream.taken).toHaveLength(1)
      yield* pass("1 hour")
      expect(upstream.attempts).toBe(3)
    }).pipe(Effect.provide(layer))
  })

  it.effect("tells the sender of a refusal, keeps it for 7 days, and sends it again when told to", () => {
    const { upstream, layer } = setUp()
    return Effect.gen(function* () {
      upstream.answer = () => "reject"
      expect(yield* Effect.flip(upload(name, "hello"))).toMatchObject({
        _tag: "UpstreamRejected",
        status: 403
      })
      const outbox = yield* Outbox
      expect(yield* Effect.flip(outbox.has(name, hashOf("hello")))).toMatchObject({ status: 403 })
      expect(yield* outbox.has(name, hashOf("other"))).toBe(false)
      expect(yield* Effect.flip(upload(name, "hello"))).toMatchObject({
        _tag: "UpstreamRejected",
        status: 403
      })
      yield* pass("6 days")
      expect(upstream.attempts).toBe(1)
      expect((yield* outbox.list(10, Option.none())).entries).toMatchObject([
        { state: "refused", next_try: null }
      ])
      upstream.answer = () => "take"
      expect(yield* outbox.retry).toBe(1)
      yield* pass("1 second")
      expect(upstream.taken).toHaveLength(1)
    }).pipe(Effect.provide(layer))
  })

  it.effect("forgets a refusal after 7 days", () => {
    const { upstream, layer } = setUp()
    return Effect.gen(function* () {
      upstream.answer = () => "reject"
      yield* Effect.flip(upload(name, "hello"))
      yield* pass("7 days")
      const outbox = yield* Outbox
      expect(yield* outbox.has(name, hashOf("hello"))).toBe(false)
      yield* pass("1 hour")
      expect(yield* outbox.status).toMatchObject({ refused: { entries: 0 } })
    }).pipe(Effect.provide(layer))
  })

  it.effect("answers 'queued' when nothing comes within forward_wait; what is under way goes on", () => {
    const { upstream, layer } = setUp()
    return Effect.gen(function* () {
      upstream.answer = () => "hang"
      const answer = yield* Effect.fork(upload(name, "hello"))
      yield* pass("4900 millis")
      expect(upstream.attempts).toBe(1)
      expect(yield* Fiber.poll(answer)).toEqual(Option.none())
      yield* pass("200 millis")
      expect(yield* Fiber.join(answer)).toBe("queued")
      const { list } = yield* Outbox
      expect((yield* list(10, Option.none())).entries).toMatchObject([{ state: "sending" }])
    }).pipe(Effect.provide(layer))
  })

  it.effect("holds everything back behind one probe while the policy server can't be reached", () => {
    const { upstream, layer } = setUp()
    return Effect.gen(function* () {
      upstream.answer = () => "unreachable"
      for (let count = 0; count < 20; count++)
        expect(yield* upload(nameOf(`file-${count}`), "x")).toBe("queued")
      expect(upstream.attempts).toBe(1)
      yield* pass("1 second")
      expect(upstream.attempts).toBe(2)
      yield* pass("1 second")
      expect(upstream.attempts).toBe(2)
      yield* pass("1 second")
      expect(upstream.attempts).toBe(3)
      expect((yield* (yield* Outbox).status).upstream).toEqual(Option.some("no connection"))
      upstream.answer = () => "take"
      yield* pass("5 minutes")
      expect(new Set(upstream.taken.map(({ name }) => name.fileId)).size).toBe(20)
      expect(upstream.taken).toHaveLength(20)
      expect(upstream.most).toBeGreaterThan(1)
      expect(upstream.most).toBeLessThanOrEqual(8)
    }).pipe(Effect.provide(layer))
  })

  it.effect("replaces a version that waits; one that is being sent finishes first", () => {
    const { upstream, layer } = setUp()
    return Effect.gen(function* () {
      upstream.answer = () => "hang"
      const first = yield* Effect.fork(upload(name, "one"))
      yield* pass("1 second")
      const second = yield* Effect.fork(upload(name, "two"))
      yield* pass("1 second")
      const outbox = yield* Outbox
      expect(yield* outbox.has(name, hashOf("two"))).toBe(true)
      expect(yield* outbox.has(name, hashOf("one"))).toBe(false)
      const third = yield* Effect.fork(upload(name, "three"))
      yield* pass("1 second")
      expect((yield* outbox.list(10, Option.none())).entries).toMatchObject([
        { size: 5 },
        { size: 3, state: "sending" }
      ])
      upstream.answer = () => "take"
      yield* pass("5 minutes")
      yield* Effect.forEach([first, second, third], Fiber.join)
      expect(upstream.mostOfOne).toBe(1)
      expect(upstream.taken).toEqual([])
    }).pipe(Effect.provide(layer))
  })

  it.effect("goes on after a restart, each entry when it is due", () => {
    const { upstream, disk, layer } = setUp()
    return Effect.gen(function* () {
      yield* Effect.gen(function* () {
        upstream.answer = () => "fail"
        yield* upload(name, "hello")
        yield* pass("1 second")
      }).pipe(Effect.provide(layer))
      expect(upstream.attempts).toBe(2)
      yield* Effect.gen(function* () {
        upstream.answer = () => "take"
        yield* pass("1 second")
        expect(upstream.attempts).toBe(2)
        yield* pass("1 second")
        expect(upstream.taken).toMatchObject([{ content: "hello" }])
      }).pipe(Effect.provide(outboxLayer({ upstream, disk })))
    })
  })

  it.effect("starts though somebody else left a folder among its temporary files", () => {
    const { upstream, disk, layer } = setUp()
    return Effect.gen(function* () {
      for (const folder of ["/outbox", "/outbox/~tmp", "/outbox/~tmp/a", "/outbox/~tmp/a/b"])
        yield* disk.makeFolder(folder, 0o700)
      yield* Effect.gen(function* () {
        expect((yield* (yield* Outbox).status).problem).toEqual(Option.none())
        expect(yield* upload(name, "hello")).toBe("stored")
      }).pipe(Effect.provide(layer))
      expect(upstream.taken).toHaveLength(1)
    })
  })
})
