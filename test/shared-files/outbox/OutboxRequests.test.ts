import { describe, expect, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Exit, Fiber, Option } from "effect"
import { DiskError, type DiskService } from "../../../src/disk/Disk.ts"
import { Outbox } from "../../../src/shared-files/outbox/Outbox.ts"
import { type Answer, ScriptedUpstream } from "../../../src/testing/ScriptedUpstream.ts"
import { hashOf, memory, nameOf, outboxLayer, pass, sha256Of, spoil, upload } from "../../support/Outboxes.ts"
import { listening } from "../../support/Stores.ts"

const name = nameOf("file.txt")

const setUp = (answer: Answer) => {
  const upstream = new ScriptedUpstream()
  upstream.answer = () => answer
  const disk = memory()
  return { upstream, disk, layer: outboxLayer({ upstream, disk }) }
}

const has = (content: string) => Effect.flatMap(Outbox, (outbox) => outbox.has(name, hashOf(content)))
const entries = Effect.gen(function* () {
  return (yield* (yield* Outbox).list(10, Option.none())).entries
})
const remove = Effect.gen(function* () {
  const [entry] = yield* entries
  return yield* (yield* Outbox).remove(entry?.id ?? "none")
})
const retry = Effect.flatMap(Outbox, (outbox) => outbox.retry)

const scoped = (date: string) => ({
  date: Option.some(date),
  scope: Option.some({ requestSignature: "ab", ttl: "" })
})

describe("whether a file is here", () => {
  it.effect("is said by the version that waits, whatever the policy server has", () => {
    const { upstream, layer } = setUp("fail")
    return Effect.gen(function* () {
      yield* upload(name, "hello")
      upstream.hasAnswer = "here"
      expect(yield* has("hello")).toBe(true)
      expect(yield* has("other")).toBe(false)
      expect(upstream.asked).toBe(0)
    }).pipe(Effect.provide(layer))
  })

  it.effect("is said for a hash of another algorithm too", () => {
    const { layer } = setUp("fail")
    return Effect.gen(function* () {
      yield* upload(name, "hello")
      const outbox = yield* Outbox
      expect(yield* outbox.has(name, sha256Of("hello"))).toBe(true)
      expect(yield* outbox.has(name, sha256Of("other"))).toBe(false)
    }).pipe(Effect.provide(layer))
  })

  it.effect("is asked of the policy server when nothing waits, or what waits has expired", () => {
    const { upstream, layer } = setUp("fail")
    return Effect.gen(function* () {
      expect(yield* has("hello")).toBe(false)
      upstream.hasAnswer = "here"
      expect(yield* has("hello")).toBe(true)
      expect(upstream.asked).toBe(2)
      upstream.answer = () => "hang"
      yield* Effect.fork(upload(name, "other", { expires: Option.some(60) }))
      yield* pass("10 seconds")
      expect(yield* has("hello")).toBe(false)
      yield* pass("1 minute")
      expect(yield* has("hello")).toBe(true)
    }).pipe(Effect.provide(layer))
  })

  it.effect("is not known, and worth another try, when the policy server does not answer", () => {
    const { upstream, layer } = setUp("fail")
    return Effect.gen(function* () {
      upstream.hasAnswer = "unreachable"
      expect(yield* Effect.flip(has("hello"))).toMatchObject({ _tag: "UpstreamFatal" })
    }).pipe(Effect.provide(layer))
  })

  it.effect(
    "is answered with the refusal of the content that was refused, until a newer version waits",
    () => {
      const { upstream, layer } = setUp("reject")
      return Effect.gen(function* () {
        yield* Effect.flip(upload(name, "hello"))
        const outbox = yield* Outbox
        for (const hash of [hashOf("hello"), sha256Of("hello")])
          expect(yield* Effect.flip(outbox.has(name, hash))).toMatchObject({
            _tag: "UpstreamRejected",
            status: 403,
            message: "no"
          })
        expect(upstream.asked).toBe(0)
        upstream.answer = () => "fail"
        yield* upload(name, "other")
        expect(yield* has("hello")).toBe(false)
        expect(yield* has("other")).toBe(true)
      }).pipe(Effect.provide(layer))
    }
  )

  it.effect(
    "is not said of a content that is no longer what was written, and that is no fault of who asks",
    () => {
      const { upstream, disk, layer } = setUp("reject")
      return Effect.gen(function* () {
        const outbox = yield* Outbox
        yield* Effect.flip(upload(name, "hello"))
        yield* spoil(disk)
        yield* outbox.checkRefused(name, sha256Of("hello"))
        upstream.answer = () => "hang"
        yield* Effect.fork(upload(name, "other"))
        yield* pass("10 seconds")
        yield* spoil(disk)
        expect(yield* outbox.has(name, sha256Of("other"))).toBe(false)
      }).pipe(Effect.provide(layer))
    }
  )

  it.effect("is not said of a content that somebody removes before it is read", () => {
    const upstream = new ScriptedUpstream()
    upstream.answer = () => "fail"
    const disk = memory()
    const read: DiskService["read"] = async function* (file) {
      await Effect.runPromise(disk.remove(file))
      yield* disk.read(file)
    }
    return Effect.gen(function* () {
      yield* upload(name, "hello")
      expect(yield* Effect.flatMap(Outbox, (outbox) => outbox.has(name, sha256Of("hello")))).toBe(false)
    }).pipe(Effect.provide(outboxLayer({ upstream, disk: { ...disk, read } })))
  })

  it.effect("makes what waits go when the policy server is seen to answer", () => {
    const { upstream, layer } = setUp("unreachable")
    return Effect.gen(function* () {
      for (let count = 0; count < 10; count++) yield* upload(nameOf(`file-${count}`), "hello")
      yield* pass("1 hour")
      upstream.answer = () => "take"
      const before = upstream.taken.length
      yield* has("hello")
      yield* pass("1 milli")
      expect(before).toBe(0)
      expect(upstream.taken.length).toBeGreaterThanOrEqual(8)
    }).pipe(Effect.provide(layer))
  })
})

describe("what an administrator asks of the outbox", () => {
  it.effect("is a list, the newest first, page by page, in which nothing comes twice or is left out", () => {
    const { layer } = setUp("fail")
    return Effect.gen(function* () {
      for (let count = 0; count < 7; count++) {
        yield* upload(nameOf(`file-${count}`), "hello")
        yield* pass("1 milli")
      }
      const { list } = yield* Outbox
      const first = yield* list(3, Option.none())
      const second = yield* list(3, Option.fromNullable(first.next))
      const third = yield* list(3, Option.fromNullable(second.next))
      const pages = [first, second, third].map(({ entries }) => entries.map(({ file_id }) => file_id))
      expect(pages).toEqual([["file-6", "file-5", "file-4"], ["file-3", "file-2", "file-1"], ["file-0"]])
      expect(third.next).toBe(null)
    }).pipe(Effect.provide(layer))
  })

  it.effect("is a list without what can't be read, which the log names", () => {
    const upstream = new ScriptedUpstream()
    upstream.answer = () => "fail"
    const disk = memory()
    let unreadable = ""
    const readEnd: DiskService["readEnd"] = (path, most) =>
      path === unreadable
        ? new DiskError({ message: "EACCES: permission denied", code: "EACCES" })
        : Effect.tap(disk.readEnd(path, most), () => {
            unreadable ||= path
          })
    const log = listening()
    return Effect.gen(function* () {
      for (const fileId of ["a", "b", "c"]) yield* upload(nameOf(fileId), "hello")
      expect((yield* entries).length).toBe(3)
      expect((yield* entries).length).toBe(2)
      expect(log.said.filter((line) => /can't be read/.test(line))).toEqual([
        expect.stringContaining("EACCES: permission denied")
      ])
    }).pipe(Effect.provide([outboxLayer({ upstream, disk: { ...disk, readEnd } }), log.layer]))
  })

  it.effect("is to try all now: what is not due, what was refused, and behind a pause", () => {
    const { upstream, layer } = setUp("reject")
    return Effect.gen(function* () {
      yield* Effect.flip(upload(nameOf("refused"), "hello"))
      upstream.answer = () => "fail"
      yield* upload(nameOf("waiting"), "hello")
      upstream.answer = () => "unreachable"
      yield* upload(nameOf("paused"), "hello")
      yield* pass("1 hour")
      upstream.answer = () => "take"
      expect(yield* retry).toBe(3)
      yield* pass("1 milli")
      expect(upstream.taken.map(({ name }) => name.fileId).sort()).toEqual(["paused", "refused", "waiting"])
    }).pipe(Effect.provide(layer))
  })

  it.effect("does not have sent once more what is being sent", () => {
    const { upstream, layer } = setUp("hang")
    return Effect.gen(function* () {
      yield* Effect.fork(upload(name, "hello"))
      yield* pass("10 seconds")
      expect(yield* retry).toBe(1)
      yield* pass("1 minute")
      expect(upstream.attempts).toBe(1)
      expect(yield* entries).toMatchObject([{ state: "sending", next_try: null }])
    }).pipe(Effect.provide(layer))
  })

  it.effect("is to delete what is being sent: that stops, and nothing of it is sent again", () => {
    const { upstream, layer } = setUp("hang")
    return Effect.gen(function* () {
      const sender = yield* Effect.fork(upload(name, "hello"))
      yield* pass("1 second")
      expect(yield* remove).toBe(true)
      yield* pass("1 milli")
      expect([...upstream.sending.values()]).toEqual([0])
      expect(yield* Fiber.join(sender)).toBe("queued")
      expect(yield* entries).toEqual([])
      yield* pass("1 hour")
      expect(upstream.attempts).toBe(1)
      expect(yield* (yield* Outbox).status).toMatchObject({ waiting: { entries: 0, bytes: 0 } })
    }).pipe(Effect.provide(layer))
  })

  it.effect("is to delete the version that waits behind one that is being sent", () => {
    const { upstream, layer } = setUp("hang")
    return Effect.gen(function* () {
      yield* Effect.fork(upload(name, "first"))
      yield* pass("1 second")
      yield* Effect.fork(upload(name, "second"))
      yield* pass("1 second")
      expect(yield* remove).toBe(true)
      expect(yield* entries).toMatchObject([{ size: 5, state: "sending" }])
      upstream.answer = () => "take"
      yield* Deferred.succeed(upstream.hangs, undefined)
      yield* pass("1 minute")
      expect(upstream.taken).toMatchObject([{ content: "first" }])
    }).pipe(Effect.provide(layer))
  })

  it.effect("finds nothing under an id that is none, or that is gone", () => {
    const { layer } = setUp("fail")
    return Effect.gen(function* () {
      yield* upload(name, "hello")
      const outbox = yield* Outbox
      const [entry] = yield* entries
      expect(yield* outbox.remove("../../etc")).toBe(false)
      expect(yield* outbox.remove(entry?.id ?? "")).toBe(true)
      expect(yield* outbox.remove(entry?.id ?? "")).toBe(false)
    }).pipe(Effect.provide(layer))
  })
})

describe("a file that was sent with scope", () => {
  it.effect("is replaced by a newer one with scope only", () => {
    const { layer } = setUp("fail")
    return Effect.gen(function* () {
      const stale = { _tag: "BadSignature", reason: "stale" }
      yield* upload(name, "hello", scoped("2026-01-05T09:00:00Z"))
      expect(yield* Effect.flip(upload(name, "older", scoped("2026-01-05T08:59:59Z")))).toMatchObject(stale)
      expect(yield* Effect.flip(upload(name, "without"))).toMatchObject(stale)
      expect(yield* has("hello")).toBe(true)
      expect(yield* entries).toHaveLength(1)
      yield* upload(name, "newer", scoped("2026-01-05T09:00:01Z"))
      expect(yield* has("newer")).toBe(true)
      expect(yield* entries).toHaveLength(1)
    }).pipe(Effect.provide(layer))
  })
})

describe("an upload that is interrupted", () => {
  it.effect("while its entry goes to the disk is counted, and sent, as any other", () => {
    const { upstream, disk } = setUp("fail")
    const [begun, goesOn] = [Effect.unsafeMakeLatch(false), Effect.unsafeMakeLatch(false)]
    const slow: typeof disk = {
      ...disk,
      sequence: (steps) =>
        Effect.uninterruptible(
          Effect.andThen(Effect.zipRight(begun.open, goesOn.await), () => disk.sequence(steps))
        )
    }
    const sharedFiles = { forwardWait: Duration.zero }
    return Effect.gen(function* () {
      const uploading = yield* Effect.fork(upload(name, "hello"))
      yield* begun.await
      const interrupting = yield* Effect.fork(Fiber.interrupt(uploading))
      yield* Effect.yieldNow()
      yield* goesOn.open
      expect(Exit.isInterrupted(yield* Fiber.join(interrupting))).toBe(true)
      yield* pass("1 second")
      expect((yield* (yield* Outbox).status).waiting).toEqual({ entries: 1, bytes: 5 })
      expect(upstream.attempts).toBeGreaterThan(0)
    }).pipe(Effect.provide(outboxLayer({ upstream, disk: slow, sharedFiles })))
  })
})
