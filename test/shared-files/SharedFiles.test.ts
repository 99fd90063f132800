/** Who may send what to whom: the rules that a file passes before it is kept. */
import { Readable } from "node:stream"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, Option, TestClock } from "effect"
import { ScriptedUpstream } from "../../src/testing/ScriptedUpstream.ts"
import type { Topology, Tree } from "../../src/testing/Topology.ts"
import { hashOf, signatureOf } from "../support/Keys.ts"
import { memory } from "../support/Outboxes.ts"
import { bodyOf, key, nameOf, otherKey, queryOf, scopeOf, send, tree, uploadOf } from "../support/Sharing.ts"
import {
  at,
  blockOf,
  content,
  has,
  metadataOf,
  sendBlock,
  sha512,
  start,
  withRelay
} from "../support/SharingRelay.ts"

describe("a target", () => {
  it.effect("that is known gets the file stored for it", () =>
    Effect.gen(function* () {
      expect(yield* send(content, queryOf(content, { ttl: "1h" }))).toEqual({
        result: "stored",
        hash: sha512(content),
        size: content.length,
        expires: Option.some(start / 1000 + 3600)
      })
      expect(yield* has(content)).toBe(true)
      expect(yield* has("other")).toBe(false)
      for (const other of [{ target: "behind" }, { source: "keyless" }, { fileId: "other" }])
        expect(yield* has(content, nameOf(other))).toBe(false)
    }).pipe(withRelay())
  )

  it.effect("behind other relays has its place among theirs", () => {
    const disk = memory()
    return Effect.gen(function* () {
      yield* send(content, undefined, { name: nameOf({ target: "behind" }) })
      expect(yield* disk.readText("/store/relay/lower/behind/source/motd")).toBe(content)
    }).pipe(withRelay({ disk }))
  })

  it.effect("that root does not know is nobody's: 404, and the body is not asked for", () =>
    Effect.gen(function* () {
      const body = Effect.dieMessage("the body was asked for")
      const announcement = Effect.dieMessage("the header was read")
      const name = nameOf({ target: "far" })
      const error = yield* Effect.flip(send(content, undefined, { name, body, announcement }))
      expect(error).toMatchObject({ _tag: "UnknownTarget", target: "far" })
      expect(yield* Effect.flip(has(content, name))).toMatchObject({ _tag: "UnknownTarget", target: "far" })
    }).pipe(withRelay())
  )

  it.effect("that root can't know yet, without a list, is to be asked for later", () =>
    Effect.gen(function* () {
      const busy = { _tag: "TooBusy", retryAfterSeconds: expect.any(Number) }
      expect(yield* Effect.flip(send(content))).toMatchObject(busy)
      expect(yield* Effect.flip(has(content))).toMatchObject(busy)
    }).pipe(withRelay({ tree: {}, neverLoaded: true }))
  )

  it.effect("that a relay does not know is its policy server's, by the outbox", () => {
    const upstream = new ScriptedUpstream()
    const disk = memory()
    return Effect.gen(function* () {
      const name = nameOf({ target: "far" })
      expect(yield* send(content, undefined, { name })).toMatchObject({ result: "stored" })
      expect(upstream.taken).toMatchObject([{ name, content, ttl: "36500d" }])
      upstream.answer = () => "fail"
      expect(yield* send("later\n", undefined, { name })).toMatchObject({
        result: "queued",
        hash: sha512("later\n")
      })
      expect(yield* has("later\n", name)).toBe(true)
      // What waits decides alone.
      expect(yield* has(content, name)).toBe(false)
      upstream.answer = () => "reject"
      expect(yield* Effect.flip(send("no\n", undefined, { name }))).toMatchObject({
        _tag: "UpstreamRejected",
        status: 403
      })
      expect((yield* disk.list("/store")).map((entry) => entry.name)).toEqual(["~tmp"])
    }).pipe(withRelay({ nodeId: "me", upstream, disk }))
  })

  it.effect("that a relay does not know gets nothing that is not signed", () => {
    const upstream = new ScriptedUpstream()
    return Effect.gen(function* () {
      const name = nameOf({ target: "far" })
      const error = yield* Effect.flip(send(content, queryOf("else"), { name }))
      expect(error).toMatchObject({ _tag: "BadSignature", reason: "signature-mismatch" })
      expect(upstream.attempts).toBe(0)
      // The policy server is asked of what does not wait.
      upstream.hasAnswer = "here"
      expect(yield* has(content, name)).toBe(true)
      upstream.hasAnswer = "unreachable"
      expect(yield* Effect.flip(has(content, name))).toMatchObject({ _tag: "UpstreamFatal" })
    }).pipe(withRelay({ nodeId: "me", upstream }))
  })
})

describe("a file id", () => {
  const isRefused = (fileId: string) =>
    Effect.gen(function* () {
      const name = nameOf({ fileId })
      const refused = { _tag: "InvalidRequest", parameter: "file_id" }
      expect(yield* Effect.flip(send(content, undefined, { name }))).toMatchObject(refused)
      expect(yield* Effect.flip(has(content, name))).toMatchObject(refused)
    })

  it.effect("is no known node's in layout tree", () =>
    Effect.gen(function* () {
      for (const id of ["target", "behind", "source"]) yield* isRefused(id)
      // A node in capitals is another one.
      expect(yield* send(content, undefined, { name: nameOf({ fileId: "TARGET" }) })).toMatchObject({
        result: "stored"
      })
    }).pipe(withRelay({ sharedFiles: { layout: "tree" } }))
  )

  it.effect("may be in layout rudder", () => {
    const disk = memory()
    return Effect.gen(function* () {
      yield* send(content, undefined, { name: nameOf({ target: "behind", fileId: "target" }) })
      expect(
        yield* disk.readText("/store/relay/shared-files/lower/shared-files/behind/files/source/target")
      ).toBe(content)
    }).pipe(withRelay({ sharedFiles: { layout: "rudder" }, disk }))
  })
})

/** What may be wrong with a file, in the order in which it is found; each undone by the parts or by what is sent. */
const faults = [
  { error: { _tag: "InvalidRequest", parameter: "file_id" } },
  { error: { _tag: "UnknownTarget" } },
  { error: { _tag: "PayloadTooLarge", limit: 4 } },
  { error: { _tag: "BadSignature", reason: "unknown-source" } },
  { error: { _tag: "BadSignature", reason: "key-mismatch" } },
  { error: { _tag: "StorageFull" } },
  { error: { _tag: "BadSignature", reason: "stale" } },
  { error: { _tag: "BadSignature", reason: "hash-mismatch" } },
  { error: { _tag: "BadSignature", reason: "signature-mismatch" } }
] as const

/** Sends a file that has all faults from this one on. */
const sendFaulty = (from: number) => {
  const isWrong = (fault: number) => fault >= from
  const disk = { ...memory(), free: () => Effect.succeed(isWrong(5) ? 0 : Number.MAX_SAFE_INTEGER) }
  const name = nameOf({
    fileId: isWrong(0) ? "target" : "motd",
    target: isWrong(1) ? "far" : "target",
    source: isWrong(3) ? "stranger" : "source"
  })
  const date = at(isWrong(6) ? 11 : 0)
  const query = queryOf(content, {
    "public-key": isWrong(4) ? otherKey.text : key.text,
    signature: signatureOf(key, isWrong(8) ? "else" : content).toString("hex"),
    hash: hashOf(isWrong(7) ? "else" : content),
    ...scopeOf(content, date, { name: isWrong(8) ? nameOf() : name })
  })
  let asked = false
  const upload = uploadOf(content, query, { name })
  const body = Effect.tap(upload.body, () => {
    asked = true
  })
  return Effect.flip(send(content, query, { name, body })).pipe(
    Effect.map((error) => ({ error, asked })),
    withRelay({ disk, sharedFiles: { minFree: 1, maxBodySize: isWrong(2) ? 4 : 0 } })
  )
}

describe("of what is wrong with a file", () => {
  it.effect.each(faults.map((fault, index) => [index, fault.error] as const))(
    "the first is told: %i, %j",
    ([index, error]) =>
      Effect.gen(function* () {
        const found = yield* sendFaulty(index)
        expect(found.error).toMatchObject(error)
        // What needs no body to be found is answered without it.
        expect(found.asked).toBe(index >= 7)
      })
  )

  it.effect("an announced size is checked before the body, and what comes is counted", () => {
    const settings = { sharedFiles: { maxBodySize: 10 } }
    const tooLarge = { _tag: "PayloadTooLarge", limit: 10 }
    return Effect.gen(function* () {
      const body = Effect.dieMessage("the body was asked for")
      const announcement = Effect.dieMessage("the header was read")
      expect(yield* Effect.flip(send(content, undefined, { body, announcement }))).toMatchObject(tooLarge)
      expect(yield* Effect.flip(send(content, undefined, { size: 5 }))).toMatchObject(tooLarge)
      // What comes before the content is of the body too.
      const { announcement: announced } = uploadOf("ten bytes\n")
      const longer = Effect.map(announced, ({ claim }) => ({ claim, length: 1 }))
      for (const size of [11, 10])
        expect(
          yield* Effect.flip(send("ten bytes\n", undefined, { size, announcement: longer }))
        ).toMatchObject(tooLarge)
      expect(yield* send("ten bytes\n")).toMatchObject({ size: 10 })
    }).pipe(withRelay(settings))
  })

  it.effect("room that is gone when the body has come is told", () => {
    let free = 1000
    const disk = { ...memory(), free: () => Effect.sync(() => free) }
    return Effect.gen(function* () {
      const { body } = uploadOf(content)
      const filling = Effect.tap(body, () => {
        free = 50
      })
      expect(yield* Effect.flip(send(content, undefined, { body: filling }))).toMatchObject({
        _tag: "StorageFull"
      })
      expect(yield* disk.list("/store/~tmp")).toEqual([])
    }).pipe(withRelay({ disk, sharedFiles: { minFree: 100 } }))
  })
})

describe("a relay that has never loaded its nodes list", () => {
  it.effect("knows no source yet: it is to be sent to later, and takes the file then", () => {
    const upstream = new ScriptedUpstream()
    const topology: Topology = { tree: {}, neverLoaded: true }
    const name = nameOf({ target: "far" })
    return Effect.gen(function* () {
      const body = Effect.dieMessage("the body was asked for")
      expect(yield* Effect.flip(send(content, undefined, { name, body }))).toMatchObject({
        _tag: "TooBusy",
        retryAfterSeconds: 10
      })
      Object.assign(topology, { tree, neverLoaded: false })
      expect(yield* send(content, undefined, { name })).toMatchObject({ result: "stored" })
      expect(upstream.taken).toMatchObject([{ name, content }])
    }).pipe(withRelay({ nodeId: "me", upstream, topology }))
  })

  it.effect("does not wait for a header either", () =>
    Effect.gen(function* () {
      const announcement = Effect.dieMessage("the header was read")
      const name = nameOf({ target: "far" })
      expect(yield* Effect.flip(send(content, undefined, { name, announcement }))).toMatchObject({
        _tag: "TooBusy"
      })
    }).pipe(withRelay({ nodeId: "me", tree: {}, neverLoaded: true }))
  )
})

describe("a source that the list does not have", () => {
  it.effect("is told so without its header", () =>
    Effect.gen(function* () {
      const announcement = Effect.dieMessage("the header was read")
      const name = nameOf({ source: "stranger" })
      expect(yield* Effect.flip(send(content, undefined, { name, announcement }))).toMatchObject({
        _tag: "BadSignature",
        reason: "unknown-source"
      })
    }).pipe(withRelay())
  )

  it.effect("or had, is judged by the list of when its header has come", () => {
    const before: Tree = { ...tree, source: { hostname: "source.example.com", keyHash: otherKey.keyHash } }
    const topology: Topology = { tree: before, neverLoaded: false }
    /** The header takes its time, and another list comes meanwhile. */
    const sendDuring = (later: Tree) => {
      const announcement = Effect.tap(uploadOf(content).announcement, () => {
        topology.tree = later
      })
      return send(content, undefined, { announcement })
    }
    return Effect.gen(function* () {
      expect(yield* sendDuring(tree)).toMatchObject({ result: "stored" })
      expect(yield* Effect.flip(sendDuring({ target: { hostname: "t.example.com" } }))).toMatchObject({
        _tag: "BadSignature",
        reason: "unknown-source"
      })
    }).pipe(withRelay({ topology }))
  })
})

describe("a header", () => {
  it.effect("is believed in nothing that the relay knows better", () => {
    const disk = memory()
    return Effect.gen(function* () {
      yield* sendBlock(
        blockOf(content, {
          hostname: "liar.example.com",
          keyid: "00000000",
          expires: "1",
          size: "1",
          date: "2000-01-01T00:00:00Z",
          ttl: "1s",
          keydate: "evil\u0007"
        }),
        "1h"
      )
      const metadata = yield* metadataOf(disk, "/store/target/source/motd")
      expect(metadata).toMatchObject({
        hostname: "source.example.com",
        hash_value: hashOf(content),
        size: String(content.length),
        date: at(0),
        keydate: at(0),
        expires: String(start / 1000 + 3600)
      })
      expect(metadata.keyid).toMatch(/^[0-9A-F]{8}$/)
      expect(metadata.keyid).not.toBe("00000000")
      expect(metadata).not.toHaveProperty("ttl")
      yield* TestClock.adjust("1 hour")
      expect(yield* has(content)).toBe(false)
    }).pipe(withRelay({ disk }))
  })

  it.effect("whose hash is another's is refused, though the signature is right", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(sendBlock(blockOf(content, { hash_value: hashOf("else") })))
      expect(error).toMatchObject({ _tag: "BadSignature", reason: "hash-mismatch" })
    }).pipe(withRelay())
  )

  it.effect("that claims the hash of what was signed does not make other content right", () =>
    Effect.gen(function* () {
      expect(yield* Effect.flip(sendBlock(blockOf(content), "", "other content\n"))).toMatchObject({
        _tag: "BadSignature",
        reason: "hash-mismatch"
      })
      const query = queryOf(content)
      expect(yield* Effect.flip(send("other content\n", query))).toMatchObject({
        _tag: "BadSignature",
        reason: "signature-mismatch"
      })
    }).pipe(withRelay())
  )

  it.effect("brings a scope, whose ttl the query may only shorten", () => {
    const disk = memory()
    return Effect.gen(function* () {
      const { date = "", "request-signature": signature = "" } = scopeOf(content, at(0), { ttl: "1d" })
      const block = blockOf(content, { date, ttl: "1d", request_signature: signature })
      expect(yield* sendBlock(block, "12h")).toMatchObject({ expires: Option.some(start / 1000 + 43_200) })
      expect(yield* metadataOf(disk, "/store/target/source/motd")).toMatchObject({ ttl: "1d" })
      expect(yield* sendBlock(block)).toMatchObject({ expires: Option.some(start / 1000 + 86_400) })
      for (const longer of ["2d", "25h", "86401"])
        expect(yield* Effect.flip(sendBlock(block, longer))).toMatchObject({
          _tag: "InvalidRequest",
          parameter: "ttl"
        })
    }).pipe(withRelay({ disk }))
  })
})

describe("uploads at once", () => {
  it.effect("are bounded, in all and from one address, and a place is free again after", () => {
    const settings = { sharedFiles: { maxUploads: 3, maxUploadsPerAddress: 2 } }
    return Effect.gen(function* () {
      const silent = bodyOf(() => new Readable({ read: () => {} }))
      const hang = (address: string) => Effect.fork(send(content, undefined, { address, body: silent }))
      const busy = { _tag: "TooBusy", retryAfterSeconds: 5 }
      const first = yield* hang("192.0.2.1")
      yield* hang("192.0.2.1")
      yield* Effect.yieldNow()
      expect(yield* Effect.flip(send(content, undefined, { address: "192.0.2.1" }))).toMatchObject(busy)
      yield* hang("192.0.2.2")
      yield* Effect.yieldNow()
      expect(yield* Effect.flip(send(content, undefined, { address: "192.0.2.3" }))).toMatchObject(busy)
      yield* Fiber.interrupt(first)
      expect(yield* send(content, undefined, { address: "192.0.2.1" })).toMatchObject({ result: "stored" })
    }).pipe(withRelay(settings))
  })
})
