import { describe, expect, it } from "@effect/vitest"
import { FastCheck } from "effect"
import * as Conditions from "../../src/shared-folder/Conditions.ts"

const size = 10
const validators = { etag: '"a-1"', "last-modified": "Mon, 05 Jan 2026 09:00:00 GMT" }
const select = (headers: Record<string, string>, of = size, method = "GET") =>
  Conditions.select(method, headers, of, validators)

const whole = { _tag: "Whole" }
const notModified = { _tag: "NotModified" }
const unsatisfiable = { _tag: "Unsatisfiable" }
const part = (start: number, end: number) => ({ _tag: "Part", range: { start, end } })

describe("a range", () => {
  it.each([
    ["bytes=0-0", part(0, 0)],
    ["bytes=0-9", part(0, 9)],
    ["bytes=2-5", part(2, 5)],
    ["bytes=2-", part(2, 9)],
    ["bytes=2-99", part(2, 9)],
    ["bytes=-3", part(7, 9)],
    ["bytes=-10", part(0, 9)],
    ["bytes=-11", part(0, 9)],
    ["bytes=-99999999999999999999", part(0, 9)],
    ["Bytes=2-5", part(2, 5)],
    ["bytes=2-3,4-5", part(2, 5)],
    ["bytes=10-", unsatisfiable],
    ["bytes=99-100", unsatisfiable],
    ["bytes=-0", unsatisfiable],
    ["bytes=0-1,8-9", whole],
    ["bytes=", whole],
    ["bytes=a-b", whole],
    ["bytes=5-2", whole],
    ["bytes=99999999999999999999-3", whole],
    ["bytes=1", whole],
    ["bytes=--1", whole],
    ["bytes", whole],
    ["lines=0-1", whole],
    ["", whole]
  ])("%j of ten bytes", (range, selection) => {
    expect(select({ range })).toEqual(selection)
  })

  it("of an empty file is not to be had", () => {
    expect(select({ range: "bytes=0-" }, 0)).toEqual(unsatisfiable)
    expect(select({}, 0)).toEqual(whole)
  })

  it("is GET's alone", () => {
    expect(select({ range: "bytes=2-5" }, size, "HEAD")).toEqual(whole)
  })

  it.prop(
    "whatever is asked for, a part is in the file",
    [FastCheck.nat({ max: 20 }), FastCheck.stringMatching(/^bytes=(?:\d{0,3}|-|,| ){0,8}$/)],
    ([length, range]) => {
      const selection = select({ range }, length)
      if (selection._tag !== "Part") return
      const { start, end } = selection.range
      expect(start >= 0 && start <= end && end < length).toBe(true)
    }
  )

  it.prop(
    "from one byte to another is what a slice has",
    [FastCheck.integer({ min: 1, max: 50 }), FastCheck.nat({ max: 60 }), FastCheck.nat({ max: 60 })],
    ([length, start, more]) => {
      const bytes = Array.from({ length }, (_, at) => at)
      const selection = select({ range: `bytes=${start}-${start + more}` }, length)
      const slice = bytes.slice(start, start + more + 1)
      const taken =
        selection._tag === "Part" ? bytes.slice(selection.range.start, selection.range.end + 1) : []
      expect(taken).toEqual(slice)
    }
  )
})

describe("a version that the caller has", () => {
  it.each([
    [{ "if-none-match": '"a-1"' }, notModified],
    [{ "if-none-match": 'W/"a-1"' }, notModified],
    [{ "if-none-match": '"x", "a-1"' }, notModified],
    [{ "if-none-match": "*" }, notModified],
    [{ "if-none-match": '"a-2"' }, whole],
    [{ "if-modified-since": "Mon, 05 Jan 2026 09:00:00 GMT" }, notModified],
    [{ "if-modified-since": "Mon, 05 Jan 2026 08:59:59 GMT" }, whole],
    [{ "if-modified-since": "yesterday" }, whole],
    // The tag says more than the date.
    [{ "if-none-match": '"a-2"', "if-modified-since": "Mon, 05 Jan 2026 09:00:00 GMT" }, whole],
    [{ "if-none-match": '"a-1"', range: "bytes=2-5" }, notModified],
    [{ "if-none-match": '"a-2"', range: "bytes=2-5" }, part(2, 5)]
  ])("%j", (headers, selection) => {
    expect(select(headers)).toEqual(selection)
    if (!("range" in headers)) expect(select(headers, size, "HEAD")).toEqual(selection)
  })

  it.each([
    ['"a-1"', part(2, 5)],
    ["Mon, 05 Jan 2026 09:00:00 GMT", part(2, 5)],
    ['"a-2"', whole],
    ['W/"a-1"', whole],
    ["Mon, 05 Jan 2026 09:00:01 GMT", whole],
    ["", whole]
  ])("is gone on with if it is %j", (condition, selection) => {
    expect(select({ range: "bytes=2-5", "if-range": condition })).toEqual(selection)
  })

  it("is never gone on with where the file may change unnoticed", () => {
    const weak = { ...validators, etag: 'W/"a-1"' }
    for (const condition of [weak.etag, '"a-1"', weak["last-modified"]])
      expect(Conditions.select("GET", { range: "bytes=2-5", "if-range": condition }, size, weak)).toEqual(
        whole
      )
  })
})
