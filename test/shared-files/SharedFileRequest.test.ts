import { describe, expect, it } from "@effect/vitest"
import { Either, FastCheck, Option } from "effect"
import * as SharedFileRequest from "../../src/shared-files/SharedFileRequest.ts"
import { hashOf, keyNamed, signatureOf } from "../support/Keys.ts"

const key = keyNamed("source")
const content = "content\n"
const signature = signatureOf(key, content)
const invalid = (parameter: string) => ({ _tag: "Left", left: { _tag: "InvalidRequest", parameter } })

describe("the name of a shared file", () => {
  it("is of three ids", () => {
    const longest = "a".repeat(200)
    for (const [target, source, fileId] of [
      ["root", "0b3a-4c", "motd.txt"],
      [longest, longest, longest],
      ["a", "_", "-"],
      ["...", "..a", ".hidden"]
    ] as const)
      expect(SharedFileRequest.decodeName(target, source, fileId)).toEqual(
        Either.right({ target, source, fileId })
      )
  })

  const hostile = ["", ".", "..", "a/b", "a\\b", "a\0", "a b", "a\n", "é", "~tmp", "a".repeat(201), "a:b"]
  it.each(hostile)("has none of %j in it, and says which of the three it is", (id) => {
    expect(SharedFileRequest.decodeName(id, "B", "c")).toMatchObject(invalid("target_uuid"))
    expect(SharedFileRequest.decodeName("A", id, "c")).toMatchObject(invalid("source-uuid"))
    expect(SharedFileRequest.decodeName("A", "B", id)).toMatchObject(invalid("file_id"))
  })

  it("is not one of the files that the store keeps beside its files", () => {
    for (const id of [".metadata", "a.metadata", "a.METADATA", "a.metadata.metadata"])
      expect(SharedFileRequest.decodeName("A", "B", id)).toMatchObject(invalid("file_id"))
    expect(Either.isRight(SharedFileRequest.decodeName("A", "B", "a.metadata.txt"))).toBe(true)
    expect(Either.isRight(SharedFileRequest.decodeName("A.metadata", "B", "metadata"))).toBe(true)
  })
})

/** What `POST` has in its query, with these in place of what belongs there; null: left out. */
const post = (over: Record<string, string | null> = {}) => {
  const search = new URLSearchParams({ signature: signature.toString("hex"), "public-key": key.text })
  for (const [name, value] of Object.entries(over)) {
    if (value === null) search.delete(name)
    else search.set(name, value)
  }
  return SharedFileRequest.decodePost(search)
}

describe("the query of POST", () => {
  it("needs a signature, and takes the rest as the contract has it", () => {
    const claim = Either.getOrThrow(post())
    expect(claim).toMatchObject({
      algorithm: "sha512",
      hash: Option.none(),
      ttl: { _tag: "Forever" },
      scope: Option.none()
    })
    expect(Buffer.from(claim.signature).equals(signature)).toBe(true)
    expect(Option.getOrThrow(claim.key).equals(key.key)).toBe(true)
    expect(Option.isNone(Either.getOrThrow(post({ "public-key": null })).key)).toBe(true)
    expect(Option.isNone(Either.getOrThrow(post({ "public-key": "" })).key)).toBe(true)
    expect(Either.getOrThrow(post({ algorithm: "sha256" })).algorithm).toBe("sha256")
    expect(Either.getOrThrow(post({ algorithm: "" })).algorithm).toBe("sha512")
  })

  it.each<readonly [string, Record<string, string | null>]>([
    ["signature", { signature: null }],
    ["signature", { signature: "" }],
    ["signature", { signature: "00ff" }],
    ["signature", { signature: "no signature" }],
    ["public-key", { "public-key": "AAAA" }],
    ["public-key", { "public-key": "no key" }],
    ["algorithm", { algorithm: "md5" }],
    ["algorithm", { algorithm: "SHA512" }],
    ["hash", { hash: "00" }],
    ["hash", { hash: `${hashOf(content)}0` }],
    // Of the other algorithm than what was signed.
    ["hash", { hash: hashOf(content, "sha256") }],
    ["hash", { hash: hashOf(content), algorithm: "sha256" }],
    ["ttl", { ttl: "soon" }],
    ["ttl", { ttl: "1d 1" }],
    ["ttl", { ttl: "-1" }],
    ["request-signature", { date: "2026-01-05T09:00:00Z" }],
    ["date", { "request-signature": signature.toString("hex") }],
    ["date", { date: "yesterday", "request-signature": signature.toString("hex") }],
    ["date", { date: "2026-02-30T09:00:00Z", "request-signature": signature.toString("hex") }],
    ["request-signature", { date: "2026-01-05T09:00:00Z", "request-signature": "00" }],
    // It is handed on in a line of its own, which has no spaces around.
    ["ttl", { ttl: " 1d", date: "2026-01-05T09:00:00Z", "request-signature": signature.toString("hex") }]
  ])("names %s, of %j", (parameter, over) => {
    expect(post(over)).toMatchObject(invalid(parameter))
  })

  it.each(["signature", "algorithm", "public-key", "hash", "ttl", "date", "request-signature"])(
    "has %s once",
    (name) => {
      const search = new URLSearchParams({ signature: signature.toString("hex") })
      search.append(name, "1")
      search.append(name, "1")
      expect(SharedFileRequest.decodePost(search)).toMatchObject(invalid(name))
    }
  )

  it.each([
    ["1h 7s", 3607],
    ["1day+2hours", 93_600],
    ["2 weeks", 1_209_600],
    ["90min", 5400],
    ["3600", 3600],
    ["0", 0]
  ])("keeps a file for %j", (ttl, seconds) => {
    expect(Either.getOrThrow(post({ ttl })).ttl).toEqual({ _tag: "Seconds", seconds })
  })

  it("takes the plus of a time zone back that its decoding made a space", () => {
    const query = `signature=${signature.toString("hex")}&request-signature=${signature.toString("hex")}`
    const claim = Either.getOrThrow(
      SharedFileRequest.decodePost(new URLSearchParams(`${query}&date=2026-01-05T09:00:00+01:00&ttl=1d`))
    )
    expect(claim.scope).toMatchObject(Option.some({ date: "2026-01-05T09:00:00+01:00", ttl: "1d" }))
  })
})

describe("the hash that HEAD asks for", () => {
  const asked = (query: string) => SharedFileRequest.decodeAsked(new URLSearchParams(query))

  it("has its algorithm by its length", () => {
    for (const algorithm of ["sha256", "sha512"] as const) {
      const hex = hashOf(content, algorithm)
      const found = Either.right(Option.some({ algorithm, hex }))
      expect(asked(`hash=${hex}`)).toEqual(found)
      expect(asked(`hash=${hex.toUpperCase()}&algorithm=${algorithm}`)).toEqual(found)
    }
    for (const none of ["", "hash=", "algorithm=sha256"])
      expect(asked(none)).toEqual(Either.right(Option.none()))
  })

  it("is a hash, once, and of the algorithm that is named", () => {
    const hex = hashOf(content)
    for (const hash of ["0", hex.slice(1), `${hex}00`, `${hex.slice(1)}g`])
      expect(asked(`hash=${hash}`)).toMatchObject(invalid("hash"))
    expect(asked(`hash=${hex}&hash=${hex}`)).toMatchObject(invalid("hash"))
    expect(asked(`hash=${hex}&algorithm=sha256`)).toMatchObject(invalid("algorithm"))
    expect(asked(`hash=${hex}&algorithm=md5`)).toMatchObject(invalid("algorithm"))
  })
})

/** An agent's header block, with these lines in place of what belongs there; null: left out. */
const block = (over: Record<string, string | null> = {}, ttl = "") => {
  const lines = new Map(
    Object.entries({
      header: "rudder-signature-v1",
      algorithm: "sha512",
      digest: signature.toString("hex"),
      hash_value: hashOf(content),
      short_pubkey: key.text
    })
  )
  for (const [name, value] of Object.entries(over)) {
    if (value === null) lines.delete(name)
    else lines.set(name, value)
  }
  return SharedFileRequest.decodeBlock(lines, ttl)
}

describe("the header block of PUT", () => {
  it("needs five lines, and ignores what it does not know", () => {
    const claim = Either.getOrThrow(
      block(
        { keydate: "2018-10-31", expires: "1", date: "never", ttl: "1s", unknown: "x", hostname: "h" },
        "1d"
      )
    )
    expect(claim).toMatchObject({
      algorithm: "sha512",
      hash: Option.some({ algorithm: "sha512", hex: hashOf(content) }),
      keydate: Option.some("2018-10-31"),
      ttl: { _tag: "Seconds", seconds: 86_400 },
      scope: Option.none()
    })
    expect(Option.getOrThrow(claim.key).equals(key.key)).toBe(true)
  })

  it.each<readonly [string, Record<string, string | null>]>([
    ...["header", "algorithm", "digest", "hash_value", "short_pubkey"].flatMap((line) => [
      [line, { [line]: null }] as const,
      [line, { [line]: "" }] as const,
      [line, { [line]: "wrong" }] as const
    ]),
    ["hash_value", { hash_value: hashOf(content, "sha256") }],
    ["date", { request_signature: signature.toString("hex") }],
    ["date", { request_signature: signature.toString("hex"), date: "today" }],
    ["request_signature", { request_signature: "00", date: "2026-01-05T09:00:00Z" }]
  ])("names %s, of %j", (line, over) => {
    expect(block(over)).toMatchObject(invalid(line))
  })

  it("has a ttl of its own where a scope signs one, which the query's may only shorten", () => {
    const scoped = (signed: string | null, query: string) =>
      Either.map(
        block(
          { request_signature: signature.toString("hex"), date: "2026-01-05T09:00:00Z", ttl: signed },
          query
        ),
        ({ ttl }) => ttl
      )
    const seconds = (count: number) => Either.right({ _tag: "Seconds", seconds: count })
    expect(scoped("1d", "")).toEqual(seconds(86_400))
    expect(scoped("1d", "86400")).toEqual(seconds(86_400))
    expect(scoped("1d", "1h")).toEqual(seconds(3600))
    expect(scoped(null, "")).toEqual(Either.right({ _tag: "Forever" }))
    expect(scoped(null, "36500d")).toEqual(seconds(3_153_600_000))
    expect(scoped("1d", "25h")).toMatchObject(invalid("ttl"))
    expect(scoped("1d", "36500d")).toMatchObject(invalid("ttl"))
    expect(scoped("wrong", "1h")).toMatchObject(invalid("ttl"))
  })

  it.prop(
    "any text for any line is decoded or refused, and never thrown at",
    [
      FastCheck.constantFrom("header", "algorithm", "digest", "hash_value", "short_pubkey", "ttl", "date"),
      FastCheck.string({ unit: "binary" })
    ],
    ([line, text]) => {
      expect(["Left", "Right"]).toContain(block({ [line]: text }, text)._tag)
      expect(["Left", "Right"]).toContain(post({ [line.replace("short_pubkey", "public-key")]: text })._tag)
    }
  )
})
