import { describe, expect, it } from "@effect/vitest"
import * as Operation from "../../src/http/Operation.ts"

describe("a change to an operation", () => {
  it("adds headers in and out, and answers, to what is there", () => {
    const change = Operation.describedBy(
      Operation.reads("Range", "which part", { type: "string" }),
      Operation.sends("ETag", "its version", { type: "string" }, 200, 304),
      Operation.answers(304, "the same")
    )
    expect(change({ summary: "s", responses: { 200: { description: "it" } } })).toEqual({
      summary: "s",
      parameters: [
        {
          name: "Range",
          in: "header",
          required: false,
          description: "which part",
          schema: { type: "string" }
        }
      ],
      responses: {
        200: {
          description: "it",
          headers: { ETag: { description: "its version", schema: { type: "string" } } }
        },
        304: {
          description: "the same",
          headers: { ETag: { description: "its version", schema: { type: "string" } } }
        }
      }
    })
  })

  it("lets a form be absent, and its lists have commas", () => {
    const properties = { nodes: { type: "array" }, output: { type: "string" } }
    const content = { "application/x-www-form-urlencoded": { schema: { properties } } }
    expect(Operation.takesForm("f")({ requestBody: { content, required: true } }).requestBody).toEqual({
      description: "f",
      required: false,
      content: {
        "application/x-www-form-urlencoded": {
          schema: { properties },
          encoding: { nodes: { style: "form", explode: false } }
        }
      }
    })
  })
})
