/**
 * Parameters and values as the API's description has them, in JSON Schema's words. Requests bring them as text, which
 * the handlers decode: so every error names its parameter as the contract does, and nothing is decoded twice.
 */
import { Schema } from "effect"
import * as ContentHash from "../disk/ContentHash.ts"
import * as NodeId from "../NodeId.ts"
import * as RequestId from "./RequestId.ts"

/** What a value has to be, as a JSON Schema: type, pattern, bounds, default, examples. */
export type Form = Readonly<Record<string, unknown>>

const described = (description: string, form: Form) =>
  Schema.String.annotations({ jsonSchema: { type: "string", ...form, description } })

/** A parameter that has to be there; without it, what was expected is said as `expected …`. */
export const required = (description: string, form: Form = {}) =>
  Schema.propertySignature(described(description, form)).annotations({
    missingMessage: () => `expected ${description}`
  })

/** A parameter that may be there. */
export const optional = (description: string, form: Form = {}) =>
  Schema.optional(described(description, form))

/** One text, or several. */
const Texts = Schema.Union(Schema.String, Schema.Array(Schema.String))

/** A parameter that may be there, and more than once: its handler says which may. */
export const repeatable = (description: string, form: Form = {}) =>
  Schema.optional(Texts.annotations({ jsonSchema: { type: "string", ...form, description } }))

/** A part of the path. */
export const segment = (description: string, form: Form = {}) => described(description, form)

/** An id of a node. */
export const nodeId: Form = {
  pattern: NodeId.pattern.source,
  examples: ["72d6bd8b-b1d6-4b62-8e2e-bbc0b2d0b4f9"]
}

/** A content's hash: sha256 or sha512, by its length. */
export const hash: Form = {
  pattern: ContentHash.pattern.source,
  examples: ["2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"]
}

/** A list with commas between; as a parameter it has the style of `commaSeparated`. */
export const list = (items: Form): Form => ({ type: "array", items: { type: "string", ...items } })

/** How a list is written in a query or a form. */
export const commaSeparated = { style: "form", explode: false }

/** A span of time, such as `90s`, `5min` or `1h 30m`; or seconds. */
export const duration: Form = { pattern: "^[0-9a-zA-Z .]+$", examples: ["5min"] }

/** How many entries a page has. */
export const limit: Form = { type: "integer", minimum: 1, maximum: 1000, default: 50 }

/** A time, in RFC 3339. */
export const date: Form = { format: "date-time", examples: ["2026-01-05T09:00:00Z"] }

/** A request's id, in the request and in its answer. */
export const requestId: Form = {
  type: "string",
  pattern: RequestId.pattern.source,
  examples: ["0190f3a2-5a7e-4c39-9a55-d3b1e5f0c7aa"]
}
