import { describe, expect, it } from "@effect/vitest"
import { FastCheck } from "effect"
import { certificateOf } from "../../src/testing/SelfSigned.ts"
import * as CertificateEnds from "../../src/topology/CertificateEnds.ts"
import { secretNamed } from "../support/Keys.ts"

const key = secretNamed("source")
const uid = [[["UID", "A"]]] as const
const long = [[["CN", "x".repeat(300)]], [["UID", "A"]]] as const

describe("the end of a certificate", () => {
  it("is what node reads from it, however long its names are", () => {
    for (const subject of [uid, long])
      for (const end of ["20300102030405Z", "21200101000000Z", "19990101000000Z"]) {
        const { x509 } = certificateOf(key, subject, end)
        expect(CertificateEnds.of(x509.raw)).toBe(Date.parse(x509.validTo))
      }
  })

  it("is none of what is no certificate, and nothing is read for ever", () => {
    const { raw } = certificateOf(key, uid).x509
    const behindValidity = raw.indexOf("21200101000000Z") + 1
    for (let length = 0; length < behindValidity; length++)
      expect(CertificateEnds.of(raw.subarray(0, length))).toBeUndefined()
  })

  it.prop(
    "is none or a number, whatever the bytes are",
    [FastCheck.uint8Array({ maxLength: 200 })],
    ([bytes]) => {
      const end = CertificateEnds.of(bytes)
      expect(end === undefined || Number.isFinite(end)).toBe(true)
    }
  )
})
