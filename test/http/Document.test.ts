import { describe, expect, it } from "@effect/vitest"
import * as Document from "../../src/http/Document.ts"

const ref = (name: string) => ({ $ref: `#/components/schemas/${name}` })
const json = (schema: unknown) => ({ "application/json": { schema } })

/** One operation in a document as `HttpApi` makes it, completed. */
const completed = (operation: object, method = "get") => {
  const schemas = {
    HttpApiDecodeError: { properties: { issues: { items: ref("Issue") } } },
    Issue: {},
    A: { description: "what A is.", properties: { b: ref("B") } },
    B: {},
    Unused: {}
  }
  const made = { paths: { "/p": { [method]: operation } }, components: { schemas, securitySchemes: {} } }
  // JSON in, JSON out: the test looks into it by names.
  const { paths, components } = JSON.parse(JSON.stringify(Document.complete(made)))
  return { of: paths["/p"][method], components }
}

describe("a description", () => {
  it("has no error of the platform, nor a status that only that had, nor schemas that nobody refers to", () => {
    const { of, components } = completed({
      responses: {
        200: { description: "it", content: json(ref("A")) },
        400: { description: "no", content: json(ref("HttpApiDecodeError")) },
        404: { description: "no", content: json({ anyOf: [ref("HttpApiDecodeError"), ref("A")] }) }
      }
    })
    expect(Object.keys(of.responses)).toEqual(["200", "404"])
    expect(of.responses["404"].content).toEqual(json(ref("A")))
    expect(Object.keys(components.schemas)).toEqual(["A", "B"])
  })

  it("says of an error what its schema says, and each of several once", () => {
    const anyOf = [ref("A"), ref("B"), ref("A")]
    const { of } = completed({ responses: { 403: { description: "some error", content: json({ anyOf }) } } })
    expect(of.responses["403"].description).toBe("A: what A is.")
    expect(of.responses["403"].content).toEqual(json({ anyOf: [ref("A"), ref("B")] }))
  })

  it("has no body in an answer to HEAD", () => {
    const { of } = completed({ responses: { 400: { description: "no", content: json(ref("A")) } } }, "head")
    expect(of.responses["400"]).toEqual({ description: "A: what A is.", headers: expect.anything() })
  })

  it("has a parameter where the router has a wildcard", () => {
    const { paths } = JSON.parse(
      JSON.stringify(
        Document.complete({
          paths: { "/files/*": { get: { parameters: [{ name: "*", in: "path" }], responses: {} } } },
          components: { schemas: {} }
        })
      )
    )
    expect(paths["/files/{path}"].get.parameters[0]).toEqual({ name: "path", in: "path" })
  })
})
