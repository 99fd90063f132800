/** What the build makes of effect's schemas: they are as before, but for what each costs. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { Schema as Plain } from "effect"
import { afterAll, describe, expect, it } from "vitest"
import { lighterAnnotations, lighterSchemas } from "../scripts/lighter-schemas.mjs"

const esm = new URL("../node_modules/effect/dist/esm/", import.meta.url)
const folder = mkdtempSync(join(tmpdir(), "lighter-schemas-"))
afterAll(() => rmSync(folder, { recursive: true }))

/** A module of effect as it is in the program, beside those that nobody changed. */
const write = (module: string, change: (text: string) => string): string => {
  const text = change(readFileSync(fileURLToPath(new URL(`${module}.js`, esm)), "utf8"))
  const file = join(folder, `${module}.mjs`)
  writeFileSync(
    file,
    text
      .replace(/^\/\/# sourceMappingURL.*$/m, "")
      .replaceAll(/from "\.\/(.+)\.js"/g, (_, other: string) =>
        other === "SchemaAST" ? 'from "./SchemaAST.mjs"' : `from "${new URL(`${other}.js`, esm).href}"`
      )
  )
  return pathToFileURL(file).href
}

write("SchemaAST", lighterAnnotations)
const Lighter: typeof Plain = await import(write("Schema", lighterSchemas))

/** One of each kind, and annotated ones. */
const kinds = (Schema: typeof Plain) => {
  class Opaque extends Schema.Struct({ a: Schema.String, b: Schema.optional(Schema.Int) }) {}
  class Failed extends Schema.TaggedError<Failed>()("Failed", { message: Schema.String }) {}
  const said = { identifier: "Said", description: "what it is" }
  return {
    literal: Schema.Literal("a", "b").annotations({ description: "either" }),
    union: Schema.Union(Schema.String, Schema.Number).annotations({ description: "one of them" }),
    tuple: Schema.Tuple(Schema.String, Schema.Number).annotations({ title: "pair" }),
    array: Schema.Array(Schema.NumberFromString).annotations({ title: "several" }),
    record: Schema.Record({ key: Schema.String, value: Schema.Int }),
    refined: Schema.String.pipe(Schema.minLength(2)).annotations(said),
    brand: Schema.String.pipe(Schema.brand("Name")).annotations({ description: "branded" }),
    transformed: Schema.transform(Schema.String, Schema.Number, {
      strict: true,
      decode: (text) => text.length,
      encode: (length) => "x".repeat(length)
    }).annotations({ description: "its length" }),
    struct: Schema.Struct({ a: Schema.optionalWith(Schema.Int, { default: () => 1 }) }).annotations(said),
    picked: Schema.Struct({ a: Schema.Int, b: Schema.Int, c: Schema.Int }).pick("a", "b").omit("b"),
    declared: Schema.DurationFromSelf.annotations({ description: "how long" }),
    opaque: Opaque,
    failed: Failed,
    typeOnly: Schema.typeSchema(Schema.NumberFromString)
  }
}

const plain = kinds(Plain)
const lighter = kinds(Lighter)
const names = Object.keys(plain) as ReadonlyArray<keyof typeof plain>
const values = ["a", "ab", "12", 3, ["1", "2"], ["a", 1], { a: 1 }, { a: "x", b: 2.5 }, {}, null]

const outcomes = (Schema: typeof Plain, schema: Plain.Schema.AnyNoContext) =>
  values.map((value) => {
    const decoded = Schema.decodeUnknownEither(schema)(value)
    return decoded._tag === "Right" ? JSON.stringify(decoded.right) : decoded.left.message
  })

describe("lighter schemas", () => {
  it.each(names)("say the same of themselves: %s", (name) => {
    const schema = lighter[name]
    expect(Lighter.isSchema(schema)).toBe(true)
    expect(Plain.isSchema(schema)).toBe(true)
    expect(JSON.stringify(schema.ast)).toBe(JSON.stringify(plain[name].ast))
    expect(String(schema)).toBe(String(plain[name]))
  })

  it.each(names)("decode the same: %s", (name) => {
    expect(outcomes(Lighter, lighter[name])).toEqual(outcomes(Plain, plain[name]))
  })

  it("keep their members when they are annotated", () => {
    expect(lighter.literal.literals).toEqual(["a", "b"])
    expect(lighter.union.members).toEqual([Lighter.String, Lighter.Number])
    expect(lighter.tuple.elements).toEqual([Lighter.String, Lighter.Number])
    expect(lighter.array.value).toBe(Lighter.NumberFromString)
    expect(Object.keys(lighter.struct.fields)).toEqual(["a"])
    expect(lighter.transformed.from).toBe(Lighter.String)
    expect(Lighter.String.annotations({ title: "other" }).ast).not.toBe(Lighter.String.ast)
  })

  it("make values that they validate", () => {
    expect(lighter.struct.make({})).toEqual({ a: 1 })
    expect(lighter.brand.make("a")).toBe("a")
    expect(() => lighter.refined.make("a")).toThrow(/what it is|Said/)
    expect(() => lighter.opaque.make({ a: "x", b: 0.5 })).toThrow(/integer/)
    expect(new lighter.failed({ message: "no" })).toMatchObject({ _tag: "Failed", message: "no" })
  })

  it("stand where they stood", () => {
    const text = readFileSync(fileURLToPath(new URL("Schema.js", esm)), "utf8")
    const lineOf = (of: string) => of.slice(0, of.indexOf("export const suspend =")).split("\n").length
    expect(lineOf(lighterSchemas(text))).toBe(lineOf(text))
  })

  it("are not made of a version of effect that is written in another way", () => {
    expect(() => lighterSchemas("export function make(ast) {}")).toThrow("effect has nothing like")
    expect(() => lighterAnnotations("")).toThrow("effect has nothing like")
  })
})
