import { constants, createHash, generateKeyPairSync, privateEncrypt } from "node:crypto"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { describe, expect, it } from "@effect/vitest"
import { Either } from "effect"
import * as Signature from "../../../src/shared-files/file/Signature.ts"
import { keyNamed, largestKey, signatureOf } from "../../support/Keys.ts"

const source = keyNamed("source")
const other = keyNamed("other")
const content = Buffer.from("what the source wrote\n")
const digest = (algorithm: "sha256" | "sha512", bytes: Uint8Array = content) =>
  createHash(algorithm).update(bytes).digest()

const isRight = (result: Either.Either<unknown, unknown>) => Either.isRight(result)

describe("a signature", () => {
  const keys = [source, keyNamed("source", 3072), keyNamed("source", 4096), largestKey()] as const
  for (const algorithm of ["sha256", "sha512"] as const)
    it(`is verified with ${algorithm} and keys of 2048 to 8192 bits`, () => {
      for (const key of keys)
        expect(
          Signature.verifies(key.key, algorithm, digest(algorithm), signatureOf(key, content, algorithm))
        ).toBe(true)
    })

  it("is not of other content, by another key, or with another algorithm", () => {
    const signature = signatureOf(source, content)
    expect(Signature.verifies(source.key, "sha512", digest("sha512", Buffer.from("else")), signature)).toBe(
      false
    )
    expect(Signature.verifies(other.key, "sha512", digest("sha512"), signature)).toBe(false)
    expect(Signature.verifies(source.key, "sha256", digest("sha256"), signature)).toBe(false)
    expect(Signature.verifiesText(source.key, "sha512", "what the source wrote\n", signature)).toBe(true)
    expect(Signature.verifiesText(source.key, "sha512", "what the source wrote", signature)).toBe(false)
  })

  it("of the wrong length, or of zeros, is none", () => {
    const signature = signatureOf(source, content)
    for (const wrong of [
      signature.subarray(1),
      signature.subarray(0, -1),
      Buffer.concat([Buffer.alloc(1), signature]),
      Buffer.alloc(256),
      Buffer.alloc(0),
      signatureOf(largestKey(), content)
    ])
      expect(Signature.verifies(source.key, "sha512", digest("sha512"), wrong)).toBe(false)
  })

  it("has nothing but the algorithm and the hash in it, and the padding of a signature", () => {
    const info = Buffer.concat([
      Buffer.from("3051300d060960864801650304020305000440", "hex"),
      digest("sha512")
    ])
    const made = (bytes: Uint8Array) =>
      privateEncrypt({ key: source.secret, padding: constants.RSA_PKCS1_PADDING }, bytes)
    const verifies = (signature: Buffer) =>
      Signature.verifies(source.key, "sha512", digest("sha512"), signature)
    expect(verifies(made(info))).toBe(true)
    expect(verifies(made(Buffer.concat([info, Buffer.from("00")])))).toBe(false)
    expect(verifies(made(digest("sha512")))).toBe(false)
    // The hash of another algorithm whose hashes are as long.
    const named = Buffer.from(info)
    named.writeUInt8(0x0a, info.length - digest("sha512").length - 3)
    expect(verifies(made(named))).toBe(false)
    const block = Buffer.concat([
      Buffer.from([0, 1]),
      Buffer.alloc(256 - 3 - info.length, 0xfe),
      Buffer.from([0]),
      info
    ])
    expect(verifies(privateEncrypt({ key: source.secret, padding: constants.RSA_NO_PADDING }, block))).toBe(
      false
    )
  })
})

describe("the text of a signature", () => {
  const signature = signatureOf(source, content)
  it.each([
    ["hex", signature.toString("hex")],
    ["hex in capitals", signature.toString("hex").toUpperCase()],
    ["base64", signature.toString("base64")],
    ["base64 without padding", signature.toString("base64").replaceAll("=", "")],
    ["base64url", signature.toString("base64url")],
    ["base64 whose + became spaces", signature.toString("base64").replaceAll("+", " ")],
    ["base64 with a line's end", `${signature.toString("base64")}\n`]
  ])("is read in %s", (_, text) => {
    expect(Signature.decode("signature", text)).toEqual(Either.right(signature))
  })

  it.each([
    "",
    "00",
    "zz",
    signature.toString("hex").slice(2),
    `${"00".repeat(1025)}`,
    "a\0b",
    "%",
    "=".repeat(344)
  ])("is not %j", (text) => {
    expect(Signature.decode("signature", text)).toMatchObject({
      _tag: "Left",
      left: { _tag: "InvalidRequest", parameter: "signature" }
    })
  })
})

describe("the text of a key", () => {
  const spki = source.key.export({ type: "spki", format: "der" })
  it.each([
    ["PKCS#1", source.text],
    ["PKCS#1 whose + became spaces", source.text.replaceAll("+", " ")],
    ["PKCS#1 in base64url", Buffer.from(source.text, "base64").toString("base64url")],
    ["SPKI", spki.toString("base64")]
  ])("is read in %s", (_, text) => {
    const key = Either.getOrThrow(Signature.decodeKey("public-key", text))
    expect(key.equals(source.key)).toBe(true)
    expect(Signature.encodeKey(key)).toBe(source.text)
  })

  it("is that of an RSA key of 2048 to 8192 bits", () => {
    const ec = generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey
    const small = keyNamed("source", 1024)
    const secret = source.secret.export({ type: "pkcs1", format: "der" }).toString("base64")
    expect(isRight(Signature.decodeKey("public-key", largestKey().text))).toBe(true)
    for (const text of [
      small.text,
      ec.export({ type: "spki", format: "der" }).toString("base64"),
      secret,
      "",
      "AAAA",
      source.text.slice(0, 100),
      `-----BEGIN RSA PUBLIC KEY-----\n${source.text}\n-----END RSA PUBLIC KEY-----\n`
    ])
      expect(isRight(Signature.decodeKey("public-key", text))).toBe(false)
  })

  it("names a key by the end of its modulus", () => {
    const { n = "" } = source.key.export({ format: "jwk" })
    const modulus = Buffer.from(n, "base64url").toString("hex")
    expect(modulus.endsWith(Signature.keyId(source.key).toLowerCase())).toBe(true)
    expect(Signature.keyId(source.key)).toMatch(/^[0-9A-F]{8}$/)
  })
})

describe("a key that was sent", () => {
  it("is known by a text of its own, and keeps nothing of the request that it came with", () => {
    setFlagsFromString("--expose-gc")
    const collect: unknown = runInNewContext("gc")
    const used = () => {
      if (typeof collect === "function") collect()
      return process.memoryUsage().heapUsed
    }
    const forms = (["pkcs1", "spki"] as const).flatMap((type) => {
      const der = source.key.export({ type, format: "der" })
      return [der.toString("base64"), der.toString("base64").replaceAll("=", ""), der.toString("base64url")]
    })
    const before = used()
    for (const form of forms) {
      const request = Buffer.alloc(16 * 1024 * 1024, "x").toString("latin1") + form
      expect(isRight(Signature.decodeKey("public-key", request.slice(-form.length)))).toBe(true)
    }
    // V8 keeps the text that a regular expression was asked about last.
    expect(used() - before).toBeLessThan(3 * 16 * 1024 * 1024)
  })
})
