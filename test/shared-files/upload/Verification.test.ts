/** What a source signed: its content, and where it likes for whom and for how long. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, FastCheck, Option, TestClock } from "effect"
import { NodeId } from "../../../src/NodeId.ts"
import { ScriptedUpstream } from "../../../src/testing/ScriptedUpstream.ts"
import { hashOf, signatureOf } from "../../support/Keys.ts"
import { memory } from "../../support/Outboxes.ts"
import { key, nameOf, queryOf, scopeOf, send, uploadOf } from "../../support/Sharing.ts"
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
} from "../../support/SharingRelay.ts"

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
