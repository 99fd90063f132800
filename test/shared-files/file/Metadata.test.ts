import { describe, expect, it } from "@effect/vitest"
import { FastCheck, Option } from "effect"
import * as ContentHash from "../../../src/disk/ContentHash.ts"
import { NodeId } from "../../../src/NodeId.ts"
import * as Metadata from "../../../src/shared-files/file/Metadata.ts"
import { hashOf, keyNamed, signatureOf } from "../../support/Keys.ts"

const text = FastCheck.stringMatching(/^[!-~]([ -~]{0,20}[!-~])?$/)
const hexOf = (digits: number) => FastCheck.stringMatching(new RegExp(`^[0-9a-f]{${digits}}$`))
const option = <A>(value: FastCheck.Arbitrary<A>) =>
  FastCheck.option(value, { nil: undefined }).map(Option.fromNullable)

const anyMetadata: FastCheck.Arbitrary<Metadata.Metadata> = FastCheck.record({
  hash: FastCheck.oneof(
    hexOf(64).map((hex) => ({ algorithm: "sha256" as const, hex })),
    hexOf(128).map((hex) => ({ algorithm: "sha512" as const, hex }))
  ),
  digest: text,
  shortPubkey: text,
  hostname: text,
  keydate: text,
  keyid: text,
  date: option(text),
  size: option(FastCheck.nat()),
  expires: option(FastCheck.nat()),
  scope: option(
    FastCheck.record({ requestSignature: text, ttl: FastCheck.oneof(text, FastCheck.constant("")) })
  )
})

/** As Rudder's own relay writes it, with a time to live. */
const older = `header=rudder-signature-v1
algorithm=sha256
digest=8ca9efc5752e133e2e80e2661c176fa50f
hash_value=a75fda39a7af33eb93ab1c74874dcf66d5761ad30977368cf0c4788cf5bfd34f
short_pubkey=MIIC
hostname=ubuntu-18-04-64
keydate=2018-10-3118:21:43.653257143
keyid=B29D02BB
expires=1580941341
`

const source = keyNamed("source")
const verified = (more: Partial<Metadata.VerifiedFile> = {}): Metadata.VerifiedFile => ({
  source: {
    id: NodeId.make("source"),
    hostname: "source.example.com",
    policyServer: NodeId.make("root"),
    keyHash: Option.none()
  },
  key: source.key,
  hash: Option.getOrThrow(ContentHash.parse(hashOf("content"))),
  signature: signatureOf(source, "content"),
  keydate: Option.none(),
  ttl: { _tag: "Forever" },
  scope: Option.none(),
  ...more
})
const now = Date.parse("2026-01-05T09:00:00.250Z")

describe("metadata", () => {
  it.prop("printed is read as the same", [anyMetadata], ([metadata]) => {
    expect(Metadata.parse(Metadata.print(metadata))).toEqual(Option.some(metadata))
  })

  it("of an older relay is read, and printed as it was", () => {
    const metadata = Option.getOrThrow(Metadata.parse(older))
    expect(metadata).toMatchObject({
      expires: Option.some(1_580_941_341),
      size: Option.none(),
      date: Option.none()
    })
    expect(Metadata.print(metadata)).toBe(older)
  })

  it.each([
    ["another format", older.replace("rudder-signature-v1", "rudder-signature-v2")],
    ["no hash", older.replace(/hash_value=.*\n/, "")],
    ["a hash of another length", older.replace("a75fda39", "")],
    ["another algorithm", older.replace("sha256", "sha512")],
    ["an expiry that is no time", older.replace("1580941341", "soon")],
    ["a key twice", `${older}keyid=B29D02BB\n`],
    ["nothing", ""]
  ])("with %s is not read", (_, changed) => {
    expect(Metadata.parse(changed)).toEqual(Option.none())
  })

  it("has all eight keys of the header block, the date of acceptance and the size", () => {
    expect(Metadata.print(Metadata.describe(verified(), 7, now))).toBe(
      [
        "header=rudder-signature-v1",
        "algorithm=sha512",
        `digest=${signatureOf(source, "content").toString("hex")}`,
        `hash_value=${hashOf("content")}`,
        `short_pubkey=${source.text}`,
        "hostname=source.example.com",
        "keydate=2026-01-05T09:00:00.250Z",
        `keyid=${source.text === "" ? "" : Metadata.describe(verified(), 7, now).keyid}`,
        "date=2026-01-05T09:00:00.250Z",
        "size=7",
        ""
      ].join("\n")
    )
  })

  it("has the signed date and what belongs to it, and expires no later than that says", () => {
    const printed = Metadata.print(
      Metadata.describe(
        verified({
          ttl: { _tag: "Seconds", seconds: 300 },
          scope: Option.some({
            date: "2026-01-05T10:58:00+02:00",
            ttl: "5min",
            requestSignature: Buffer.from("beef", "hex")
          })
        }),
        7,
        now
      )
    )
    expect(printed).toContain("\ndate=2026-01-05T10:58:00+02:00\n")
    expect(printed).toContain(`\nexpires=${Date.parse("2026-01-05T09:03:00Z") / 1000}\n`)
    expect(printed).toContain("\nrequest_signature=beef\nttl=5min\n")
  })

  it("expires when the ttl is over, or the signed one, whichever there is", () => {
    const scopeOf = (ttl: string) =>
      Option.some({ date: "2026-01-05T09:00:00Z", ttl, requestSignature: Buffer.from("beef", "hex") })
    const seconds = { _tag: "Seconds", seconds: 300 } as const
    const expires = (given: Parameters<typeof verified>[0]) =>
      Option.getOrUndefined(Metadata.describe(verified(given), 7, now).expires)
    const ends = Date.parse("2026-01-05T09:00:00Z") / 1000 + 3600
    expect(expires({ ttl: { _tag: "Forever" }, scope: scopeOf("1h") })).toBe(ends)
    expect(expires({ ttl: seconds, scope: scopeOf("") })).toBe(Math.ceil(now / 1000) + 300)
    expect(expires({ ttl: { _tag: "Forever" }, scope: scopeOf("") })).toBe(undefined)
  })

  it("has nothing in a line that could begin another", () => {
    const node = { ...verified().source, hostname: "a\nexpires=1" }
    const printed = Metadata.print(
      Metadata.describe(verified({ source: node, keydate: Option.some("x\ny=1") }), 7, now)
    )
    expect(printed).toContain("\nhostname=source\nkeydate=2026-01-05T09:00:00.250Z\n")
    expect(printed).not.toContain("expires")
  })
})
