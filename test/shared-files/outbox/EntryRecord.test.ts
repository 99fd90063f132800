import { describe, expect, it } from "@effect/vitest"
import { Either, FastCheck, Option } from "effect"
import * as HeaderBlock from "../../../src/shared-files/file/HeaderBlock.ts"
import * as Ttl from "../../../src/shared-files/file/Ttl.ts"
import * as EntryRecord from "../../../src/shared-files/outbox/EntryRecord.ts"
import * as SharedFileRequest from "../../../src/shared-files/SharedFileRequest.ts"
import { metadataOf, nameOf } from "../../support/Outboxes.ts"

const time = FastCheck.integer({ min: 0, max: 2 ** 42 })
const id = FastCheck.stringMatching(/^[A-Za-z0-9_-]{1,20}$/)
const option = <A>(value: FastCheck.Arbitrary<A>) =>
  FastCheck.option(value, { nil: undefined }).map(Option.fromNullable)

const scope = Option.some({ requestSignature: "ab12", ttl: "2 days" })
const record: FastCheck.Arbitrary<EntryRecord.EntryRecord> = FastCheck.record({
  name: FastCheck.tuple(id, id).map(([file, target]) => nameOf(file, target)),
  began: time,
  accepted: time,
  metadata: FastCheck.record({
    expires: option(FastCheck.nat()),
    scope: FastCheck.constantFrom(Option.none(), scope)
  }).map((more) => metadataOf("content", more))
})

const attempts = FastCheck.record({
  count: FastCheck.integer({ min: 1, max: 10 ** 9 }),
  at: time,
  status: option(FastCheck.integer({ min: 400, max: 499 }))
})

/** As long as one by a key of 2048 bits. */
const signature = "ab".repeat(256)

/** As sources write it; empty is for ever. */
const signedTtl = FastCheck.oneof(
  FastCheck.integer({ min: 0, max: 10 ** 9 }).map(String),
  FastCheck.integer({ min: 0, max: Ttl.longest }).map((seconds) => Ttl.print({ _tag: "Seconds", seconds })),
  FastCheck.constantFrom("1week", "1d 2h", "90min", "2 days", "1500ms", "")
)

/** When `metadata` expires: Unix time. */
const expiring = (expires: number) => metadataOf("content", { expires: Option.some(expires) })

describe("a request record", () => {
  it.prop("printed is read as the same", [record], ([record]) => {
    expect(EntryRecord.parse(EntryRecord.print(record))).toEqual(Option.some(record))
  })

  it.prop("cut off anywhere is not read as another file", [record, FastCheck.nat()], ([record, at]) => {
    const text = EntryRecord.print(record)
    const found = EntryRecord.parse(text.slice(0, at % text.indexOf("\nkeyid=")))
    expect(found).toEqual(Option.none())
  })

  it.prop("of an older relay began when it was accepted, for all that is known", [record], ([record]) => {
    const text = EntryRecord.print(record).replace(/^began=.*\n/m, "")
    expect(EntryRecord.parse(text)).toEqual(Option.some({ ...record, began: record.accepted }))
  })

  it("with a day that there is not is none", () => {
    const text = EntryRecord.print({
      name: nameOf("file.txt"),
      began: 0,
      accepted: Date.parse("2026-02-28T23:59:59.999Z"),
      metadata: metadataOf("x")
    })
    expect(Option.isSome(EntryRecord.parse(text))).toBe(true)
    for (const day of [
      "02-29",
      "02-30",
      "02-31",
      "04-31",
      "11-31",
      "13-01",
      "00-10",
      "00-31",
      "01-00",
      "01-32"
    ])
      expect(EntryRecord.parse(text.replace("02-28", day)), day).toEqual(Option.none())
  })

  it.each(["T24:30:00.000Z", "T25:00:00.000Z", "T23:60:00.000Z", "T23:59:61.000Z"])(
    "with a time of the day that there is not is none: %s",
    (time) => {
      const text = EntryRecord.print({
        name: nameOf("file.txt"),
        began: 0,
        accepted: Date.parse("2026-02-28T23:59:59.999Z"),
        metadata: metadataOf("x")
      })
      expect(EntryRecord.parse(text.replace("T23:59:59.999Z", time))).toEqual(Option.none())
    }
  )

  it.each([
    ["target", "../../etc"],
    ["target", ""],
    ["source", ".."],
    ["source", "a/b"],
    ["file_id", "../passwd"],
    ["file_id", "x.METADATA"],
    ["file_id", "y".repeat(201)]
  ])("that somebody gave a name that is none is none: %s=%s", (key, name) => {
    const text = EntryRecord.print({
      name: nameOf("file.txt"),
      began: 0,
      accepted: 0,
      metadata: metadataOf("x")
    })
    expect(EntryRecord.parse(text.replace(new RegExp(`^${key}=.*$`, "m"), `${key}=${name}`))).toEqual(
      Option.none()
    )
  })

  it("says who, for whom and when in lines that a person can read", () => {
    const accepted = Date.parse("2026-01-05T09:00:00Z")
    const lines = EntryRecord.print({
      name: nameOf("file.txt"),
      began: accepted - 1500,
      accepted,
      metadata: metadataOf("x")
    })
    expect(lines.split("\n")).toEqual(
      expect.arrayContaining([
        "target=far",
        "source=source",
        "file_id=file.txt",
        "began=2026-01-05T08:59:58.500Z",
        "accepted=2026-01-05T09:00:00.000Z"
      ])
    )
  })
})

describe("the record of attempts", () => {
  it.prop(
    "printed is read as the same, whatever was answered, in one line",
    [attempts, FastCheck.oneof(FastCheck.string(), FastCheck.string({ unit: "binary", maxLength: 2000 }))],
    ([attempts, error]) => {
      const text = EntryRecord.printAttempts({ ...attempts, error })
      const found = Option.getOrThrow(EntryRecord.parseAttempts(text))
      expect(found).toMatchObject(attempts)
      expect(found.error).toBe(error.replace(/\s+/g, " ").trim().slice(0, 500).trim())
    }
  )

  it.prop("cut off is not read as fewer attempts", [attempts, FastCheck.nat()], ([attempts, at]) => {
    const text = EntryRecord.printAttempts({ ...attempts, error: "answered 503" })
    const found = EntryRecord.parseAttempts(text.slice(0, at % text.indexOf("last_error=")))
    expect(found).toEqual(Option.none())
  })
})

describe("what is left of a ttl", () => {
  it("is a time that every older relay takes for 'for ever', where there is none", () => {
    expect(EntryRecord.remainingTtl(metadataOf("x"), 0)).toEqual(Option.some("36500d"))
  })

  it.prop(
    "is never more than was signed, and less than a second less",
    [FastCheck.integer({ min: 1_000_000, max: 2 ** 31 }), FastCheck.integer({ min: 1, max: 10 ** 9 })],
    ([expires, left]) => {
      const now = expires * 1000 - left
      const ttl = EntryRecord.remainingTtl(expiring(expires), now)
      expect(Option.isSome(ttl)).toBe(left >= 1000)
      if (Option.isNone(ttl)) return
      const parsed = Option.getOrThrow(Ttl.parse(ttl.value))
      const seconds = parsed._tag === "Seconds" ? parsed.seconds : Number.POSITIVE_INFINITY
      expect(seconds * 1000).toBeLessThanOrEqual(left)
      expect(seconds * 1000).toBeGreaterThan(left - 1000)
    }
  )

  it.prop(
    "is taken by the policy server together with what was signed, whatever the clock says now",
    [signedTtl, time, time, FastCheck.boolean()],
    ([signed, accepted, now, isShortened]) => {
      const given = Option.getOrThrow(Ttl.parse(signed))
      // The query of a relay below may have asked for less than was signed.
      const asked =
        isShortened && given._tag === "Seconds" ? { ...given, seconds: Math.ceil(given.seconds / 2) } : given
      const metadata = metadataOf("content", {
        expires: Ttl.expiry(asked, accepted),
        digest: signature,
        scope: Option.some({ requestSignature: signature, ttl: signed })
      })
      const ttl = EntryRecord.remainingTtl(metadata, now)
      if (Option.isNone(ttl)) return
      const block = Either.getOrThrow(HeaderBlock.parse(EntryRecord.header(metadata)))
      const claim = Either.getOrThrow(SharedFileRequest.decodeBlock(block, ttl.value))
      expect(Ttl.isAtMost(claim.ttl, given)).toBe(true)
    }
  )

  it.prop("can be read, however long it was and whatever the clock says now", [time], ([now]) => {
    const metadata = expiring(2 ** 42 / 1000 + Ttl.longest)
    const ttl = Option.getOrThrow(EntryRecord.remainingTtl(metadata, now))
    expect(Option.isSome(Ttl.parse(ttl))).toBe(true)
  })

  it("is nothing behind its end", () => {
    for (const now of [1_000_000_000, 1_000_000_001, 2_000_000_000_000])
      expect(EntryRecord.remainingTtl(expiring(1_000_000), now)).toEqual(Option.none())
  })
})

describe("the header block that is sent", () => {
  it.prop(
    "has all eight keys, an empty line at its end, and nothing of this relay's own",
    [record],
    ([one]) => {
      const text = EntryRecord.header(one.metadata)
      expect(text.endsWith("\n\n")).toBe(true)
      const block = HeaderBlock.parse(text)
      if (block._tag === "Left") throw block.left
      const keys = [
        "header",
        "algorithm",
        "digest",
        "hash_value",
        "short_pubkey",
        "hostname",
        "keydate",
        "keyid"
      ]
      const scoped = Option.isSome(one.metadata.scope) ? ["date", "request_signature", "ttl"] : []
      expect([...block.right.keys()].sort()).toEqual([...keys, ...scoped].sort())
    }
  )
})
