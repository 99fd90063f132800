/** Who may send what to whom: the rules that a file passes before it is kept. */
import { createHash } from "node:crypto"
import { PassThrough, Readable } from "node:stream"
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Either, FastCheck, Fiber, Option, TestClock } from "effect"
import { NodeId } from "../../src/NodeId.ts"
import * as HeaderBlock from "../../src/shared-files/file/HeaderBlock.ts"
import * as SharedFileRequest from "../../src/shared-files/SharedFileRequest.ts"
import { SharedFiles } from "../../src/shared-files/SharedFiles.ts"
import { hashOf, keyOf, signatureOf } from "../support/Keys.ts"
import { memory, pass, type Topology } from "../support/Outboxes.ts"
import { ScriptedUpstream } from "../support/ScriptedUpstream.ts"
import { certificateOf, newKey as newSecret } from "../support/SelfSigned.ts"
import {
  bodyOf,
  key,
  nameOf,
  otherKey,
  type Parts,
  queryOf,
  scopeOf,
  send,
  sharingLayer,
  tree,
  uploadOf
} from "../support/Sharing.ts"
import type { Tree } from "../support/Topology.ts"

const content = "for the target\n"
const start = Date.parse("2026-01-05T09:00:00Z")
const at = (minutes: number) => new Date(start + minutes * 60_000).toISOString()

/** Runs with a relay of these parts, at nine o'clock. */
const withRelay =
  (parts: Parts = {}) =>
  <A, E>(effect: Effect.Effect<A, E, SharedFiles>) =>
    Effect.andThen(TestClock.setTime(start), Effect.provide(effect, sharingLayer(parts)))

const sha512 = (text: string) => ({ algorithm: "sha512" as const, hex: hashOf(text) })
const has = (text: string, name = nameOf()) =>
  Effect.flatMap(SharedFiles, (sharedFiles) => sharedFiles.has(name, sha512(text)))

/** A stored file's metadata, by its keys. */
const metadataOf = (disk: ReturnType<typeof memory>, path: string) =>
  Effect.map(disk.readText(`${path}.metadata`), (text) =>
    Object.fromEntries(Either.getOrThrow(HeaderBlock.parse(text ?? "")))
  )

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

describe("a source", () => {
  const agent = keyOf(newSecret(2048))
  const certificate = certificateOf(agent.secret, [[["UID", "keyless"]]]).x509
  const foreign = certificateOf(otherKey.secret, [[["UID", "source"]]]).x509
  const from = (source: string, query: URLSearchParams) => send(content, query, { name: nameOf({ source }) })
  const signedBy = (by: typeof key, over: Record<string, string | undefined> = {}) =>
    queryOf(content, over, by)
  const refused = (reason: string) => ({ _tag: "BadSignature", reason })

  it.effect("that is not below this relay, or has no key here, is unknown", () =>
    Effect.gen(function* () {
      expect(yield* Effect.flip(from("far", signedBy(key)))).toMatchObject(refused("unknown-source"))
      expect(yield* Effect.flip(from("keyless", signedBy(key)))).toMatchObject(refused("unknown-source"))
    }).pipe(withRelay())
  )

  it.effect("sends the key that the list names, in either form of its hash, and no other", () =>
    Effect.gen(function* () {
      expect(yield* Effect.flip(from("source", signedBy(otherKey)))).toMatchObject(refused("key-mismatch"))
      const pkcs1 = createHash("sha512")
        .update(key.key.export({ type: "pkcs1", format: "der" }))
        .digest("hex")
      const byPkcs1 = { ...tree, source: { hostname: "s", keyHash: `sha512:${pkcs1}` } }
      expect(yield* from("source", signedBy(key)).pipe(withRelay({ tree: byPkcs1 }))).toMatchObject({
        result: "stored"
      })
      // A hash that can't be read names no key.
      const unreadable = { ...tree, source: { hostname: "s", keyHash: "sha256:zz" } }
      const unknown = yield* Effect.flip(from("source", signedBy(key)).pipe(withRelay({ tree: unreadable })))
      expect(unknown).toMatchObject(refused("unknown-source"))
    }).pipe(withRelay())
  )

  it.effect("may leave its key to its certificate, which the list must not contradict", () =>
    Effect.gen(function* () {
      const noKey = { "public-key": undefined }
      expect(yield* from("keyless", signedBy(agent, noKey))).toMatchObject({ result: "stored" })
      expect(yield* from("keyless", signedBy(agent))).toMatchObject({ result: "stored" })
      expect(yield* Effect.flip(from("keyless", signedBy(key)))).toMatchObject(refused("key-mismatch"))
      expect(yield* Effect.flip(from("keyless", signedBy(key, noKey)))).toMatchObject(
        refused("signature-mismatch")
      )
      // The list names another key than this certificate's.
      for (const by of [key, otherKey])
        expect(yield* Effect.flip(from("source", signedBy(by, noKey)))).toMatchObject({
          _tag: "InvalidRequest",
          parameter: "public-key"
        })
      expect(yield* Effect.flip(from("source", signedBy(otherKey)))).toMatchObject(refused("key-mismatch"))
    }).pipe(withRelay({ certificates: { keyless: [foreign, certificate], source: [foreign] } }))
  )
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

describe("a scope", () => {
  const stale = { _tag: "BadSignature", reason: "stale" }
  const mismatch = { _tag: "BadSignature", reason: "signature-mismatch" }
  const sendAt = (text: string, date: string) => send(text, queryOf(text, scopeOf(text, date)))

  it.effect("is for one target, source, name, ttl, date and content", () =>
    Effect.gen(function* () {
      const date = at(0)
      const scoped = (
        signed: Parameters<typeof scopeOf>[2],
        ttl: string | undefined = undefined,
        of = content
      ) => send(content, queryOf(content, { ttl, ...scopeOf(of, date, signed) }))
      for (const other of [{ target: "behind" }, { source: "keyless" }, { fileId: "other" }])
        expect(yield* Effect.flip(scoped({ name: nameOf(other) }))).toMatchObject(mismatch)
      expect(yield* Effect.flip(scoped({ ttl: "1d" }))).toMatchObject(mismatch)
      expect(yield* Effect.flip(scoped({ ttl: "1d" }, "24h"))).toMatchObject(mismatch)
      expect(yield* Effect.flip(scoped({ date: at(1) }))).toMatchObject(mismatch)
      expect(yield* Effect.flip(scoped({}, undefined, "else"))).toMatchObject(mismatch)
      expect(yield* has(content)).toBe(false)
      expect(yield* scoped({ ttl: "1d" }, "1d")).toMatchObject({ result: "stored" })
    }).pipe(withRelay())
  )

  it.effect("is stored, with its date as the file's", () => {
    const disk = memory()
    return Effect.gen(function* () {
      const date = "2026-01-05T08:30:00+01:00"
      const scope = scopeOf(content, date, { ttl: "2d" })
      yield* send(content, queryOf(content, { ttl: "2d", ...scope }))
      expect(yield* metadataOf(disk, "/store/target/source/motd")).toMatchObject({
        date,
        ttl: "2d",
        request_signature: Buffer.from(scope["request-signature"] ?? "", "base64url").toString("hex"),
        expires: String(Date.parse(date) / 1000 + 2 * 86_400)
      })
      const status = yield* disk.status("/store/target/source/motd")
      expect(status?.modified).toBe(Date.parse(date))
    }).pipe(withRelay({ disk }))
  })

  it.effect("may be dated up to ten minutes ahead", () =>
    Effect.gen(function* () {
      expect(yield* sendAt("a", at(10))).toMatchObject({ result: "stored" })
      expect(yield* Effect.flip(sendAt("b", at(10.01)))).toMatchObject(stale)
      expect(yield* has("a")).toBe(true)
    }).pipe(withRelay())
  )

  it.effect("is replaced by a newer one, or one of the same date, and not by an older", () =>
    Effect.gen(function* () {
      yield* sendAt("first", at(0))
      expect(yield* sendAt("first", at(0))).toMatchObject({ result: "stored" })
      expect(yield* sendAt("second", at(1))).toMatchObject({ result: "stored" })
      expect(yield* Effect.flip(sendAt("first", at(0)))).toMatchObject(stale)
      expect(yield* has("second")).toBe(true)
    }).pipe(withRelay())
  )

  it.effect("once there, can't be left out; where it was not, it may come", () =>
    Effect.gen(function* () {
      yield* send("plain")
      yield* send("plain too")
      // Older than what was accepted without, which says nothing about when it was made.
      yield* sendAt("scoped", at(-60))
      expect(yield* Effect.flip(send("plain"))).toMatchObject(stale)
      expect(yield* has("scoped")).toBe(true)
    }).pipe(withRelay())
  )

  const keptFor = (ttl: string, date: string) => queryOf(content, { ttl, ...scopeOf(content, date, { ttl }) })

  it.effect("whose ttl, counted from its date, is over is stale, and its body is not asked for", () =>
    Effect.gen(function* () {
      const body = Effect.dieMessage("the body was asked for")
      for (const [ttl, date] of [
        ["1h", "2020-01-05T09:00:00Z"],
        ["1h", at(-60)],
        ["0", at(0)]
      ] as const)
        expect(yield* Effect.flip(send(content, keptFor(ttl, date), { body }))).toMatchObject(stale)
      expect(yield* send(content, keptFor("1h", at(-59)))).toMatchObject({ result: "stored" })
      expect(yield* send(content, keptFor("", at(1)))).toMatchObject({ result: "stored" })
    }).pipe(withRelay())
  )

  it.effect("whose ttl passes while the body comes is stale", () =>
    Effect.gen(function* () {
      const slow = Effect.tap(uploadOf(content).body, () => TestClock.adjust("61 minutes"))
      expect(yield* Effect.flip(send(content, keptFor("1h", at(0)), { body: slow }))).toMatchObject(stale)
      expect(yield* has(content)).toBe(false)
    }).pipe(withRelay())
  )

  it.effect("ends what is stored by its date and ttl, and by acceptance where that is sooner", () =>
    Effect.gen(function* () {
      const endOf = (ttl: string, date: string) =>
        Effect.map(send(content, keptFor(ttl, date)), ({ expires }) =>
          Option.map(expires, (time) => time - start / 1000)
        )
      expect(yield* endOf("1h", at(-45))).toEqual(Option.some(900))
      expect(yield* endOf("1h", at(5))).toEqual(Option.some(3600))
      yield* TestClock.adjust("15 minutes")
      expect(yield* has(content)).toBe(true)
      yield* TestClock.adjust("45 minutes")
      expect(yield* has(content)).toBe(false)
    }).pipe(withRelay())
  )

  it.effect("keeps what is stored from being ended by who has a copy of it", () => {
    const disk = memory()
    return Effect.gen(function* () {
      const { date = "", "request-signature": signature = "" } = scopeOf(content, at(0), { ttl: "1d" })
      const copy = blockOf(content, { date, ttl: "1d", request_signature: signature })
      const expires = Option.some(start / 1000 + 86_400)
      expect(yield* send(content, keptFor("1d", at(0)))).toMatchObject({ expires })
      for (const ttl of ["0s", "0", "1s", "1h"])
        expect(yield* sendBlock(copy, ttl)).toMatchObject({ result: "stored", expires })
      yield* TestClock.adjust("23 hours")
      expect(yield* has(content)).toBe(true)
      expect(yield* metadataOf(disk, "/store/target/source/motd")).toMatchObject({
        ttl: "1d",
        expires: String(start / 1000 + 86_400)
      })
      // The source itself may end it, by a later date.
      yield* TestClock.setTime(start + 1000)
      const ending = scopeOf(content, new Date(start + 1000).toISOString(), { ttl: "1s" })
      yield* send(content, queryOf(content, { ttl: "1s", ...ending }))
      yield* TestClock.adjust("2 seconds")
      expect(yield* has(content)).toBe(false)
    }).pipe(withRelay({ disk }))
  })

  it.effect("keeps what waits in the outbox from it, too", () => {
    const upstream = new ScriptedUpstream()
    upstream.answer = () => "fail"
    const name = nameOf({ target: "far" })
    return Effect.gen(function* () {
      const scope = scopeOf(content, at(0), { name, ttl: "1d" })
      const { date = "", "request-signature": signature = "" } = scope
      yield* send(content, queryOf(content, { ttl: "1d", ...scope }), { name })
      const copy = blockOf(content, { date, ttl: "1d", request_signature: signature })
      expect(yield* sendBlock(copy, "0s", content, name)).toMatchObject({ result: "queued" })
      yield* TestClock.adjust("1 hour")
      expect(yield* has(content, name)).toBe(true)
    }).pipe(withRelay({ nodeId: "me", upstream }))
  })

  it.effect("is judged for what waits in the outbox, too, and sent on", () => {
    const upstream = new ScriptedUpstream()
    upstream.answer = () => "fail"
    const name = nameOf({ target: "far" })
    const scopedAt = (text: string, date: string) =>
      send(text, queryOf(text, scopeOf(text, date, { name })), { name })
    return Effect.gen(function* () {
      yield* scopedAt("second", at(1))
      expect(yield* Effect.flip(scopedAt("first", at(0)))).toMatchObject(stale)
      expect(yield* Effect.flip(send("plain", undefined, { name }))).toMatchObject(stale)
      upstream.answer = () => "take"
      yield* scopedAt("third", at(2))
      expect(upstream.taken.at(-1)?.header).toContain(`date=${at(2)}\n`)
      expect(upstream.taken.at(-1)?.header).toContain("request_signature=")
    }).pipe(withRelay({ nodeId: "me", upstream }))
  })
})

/** The header block of an existing agent; lines in place of those. */
const blockOf = (text: string, over: Record<string, string> = {}) =>
  new Map(
    Object.entries({
      header: "rudder-signature-v1",
      algorithm: "sha512",
      digest: signatureOf(key, text).toString("hex"),
      hash_value: hashOf(text),
      short_pubkey: key.text,
      hostname: "agent.example.com",
      keydate: "2018-10-3118:21:43",
      keyid: "B29D02BB",
      ...over
    })
  )

const sendBlock = (block: HeaderBlock.HeaderBlock, ttl = "", text = content, name = nameOf()) =>
  send(text, undefined, {
    name,
    announcement: Effect.map(SharedFileRequest.decodeBlock(block, ttl), (claim) => ({ claim, length: 0 }))
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

const encodings = {
  hex: (bytes: Buffer) => bytes.toString("hex"),
  HEX: (bytes: Buffer) => bytes.toString("hex").toUpperCase(),
  base64: (bytes: Buffer) => encodeURIComponent(bytes.toString("base64")),
  base64url: (bytes: Buffer) => bytes.toString("base64url"),
  // In a query that nobody encoded, a plus is a space.
  spaced: (bytes: Buffer) => bytes.toString("base64")
}

const flip = (bytes: Uint8Array, bit: number): Buffer => {
  const flipped = Buffer.from(bytes)
  const byte = Math.floor(bit / 8) % flipped.length
  flipped[byte] = (flipped[byte] ?? 0) ^ (1 << (bit % 8))
  return flipped
}

describe("a signature", () => {
  const sendSigned = (bytes: Uint8Array, signature: string, fileId: string) =>
    send(bytes, new URLSearchParams(`signature=${signature}&public-key=${encodeURIComponent(key.text)}`), {
      name: { ...nameOf({ fileId }), source: NodeId.make("source") }
    })

  it.effect.prop(
    "is taken in every encoding, whatever the content; and not with a bit of either flipped",
    [FastCheck.uint8Array({ minLength: 1, maxLength: 2000 }), FastCheck.nat()],
    ([bytes, bit]) =>
      Effect.gen(function* () {
        const signature = signatureOf(key, bytes)
        for (const [name, encode] of Object.entries(encodings)) {
          expect(yield* sendSigned(bytes, encode(signature), name)).toMatchObject({ size: bytes.length })
          for (const refused of [
            sendSigned(bytes, encode(flip(signature, bit)), name),
            sendSigned(flip(bytes, bit), encode(signature), name)
          ])
            expect(yield* Effect.flip(refused)).toMatchObject({
              _tag: "BadSignature",
              reason: "signature-mismatch"
            })
        }
      }).pipe(withRelay(), Effect.asVoid),
    { fastCheck: { numRuns: 25 } }
  )

  it.effect("of nothing is one, too", () =>
    Effect.gen(function* () {
      expect(yield* send("")).toMatchObject({ result: "stored", size: 0, hash: sha512("") })
    }).pipe(withRelay())
  )

  it.effect("is of the algorithm that is named", () =>
    Effect.gen(function* () {
      const signature = signatureOf(key, content, "sha256").toString("hex")
      const sha256 = queryOf(content, { algorithm: "sha256", signature })
      expect(yield* send(content, sha256)).toMatchObject({
        hash: { algorithm: "sha256", hex: hashOf(content, "sha256") }
      })
      for (const query of [queryOf(content, { signature }), queryOf(content, { algorithm: "sha256" })])
        expect(yield* Effect.flip(send(content, query))).toMatchObject({ reason: "signature-mismatch" })
    }).pipe(withRelay())
  )
})
