/**
 * What an operation's description says that `HttpApi` has no words for: headers in and out, several types of one body,
 * bodies that nobody holds in memory. Each is a change to the description that `HttpApi` makes, and stands beside the
 * endpoint: `.annotate(OpenApi.Transform, Operation.describedBy(…))`.
 */

import type { Form } from "./Described.ts"
import * as Described from "./Described.ts"

/** A header, as OpenAPI describes it. */
export interface Header {
  readonly description?: string
  readonly schema?: Form
  readonly $ref?: string
}

/** A body of one type. */
export interface Media {
  readonly schema?: Form
  readonly example?: unknown
  readonly examples?: Readonly<Record<string, { readonly summary?: string; readonly value: unknown }>>
  readonly encoding?: Readonly<Record<string, unknown>>
}

/** Bodies by their media types. */
export type Content = Readonly<Record<string, Media>>

/** What is answered with one status. */
export interface Answer {
  readonly description?: string
  readonly headers?: Readonly<Record<string, Header>>
  readonly content?: Content
  readonly $ref?: string
}

/** A parameter in path, query or header. */
export interface Parameter {
  readonly name: string
  readonly in: string
  readonly required?: boolean
  readonly description?: string
  readonly schema?: Form
  readonly [more: string]: unknown
}

/** An operation, as far as it is changed here. */
export interface Operation {
  readonly parameters?: ReadonlyArray<Parameter>
  readonly requestBody?: {
    readonly description?: string
    readonly content?: Content
    readonly required?: boolean
  }
  readonly responses?: Readonly<Record<string, Answer>>
  readonly [more: string]: unknown
}

/** Says more of an operation. */
export type Change = (operation: Operation) => Operation

/** All of these, one after the other. */
export const describedBy =
  (...changes: ReadonlyArray<Change>): Change =>
  (operation) =>
    changes.reduce((changed, change) => change(changed), operation)

/** A header of the request that is looked at. */
export const reads =
  (name: string, description: string, schema: Form = { type: "string" }): Change =>
  (operation) => ({
    ...operation,
    parameters: [
      ...(operation.parameters ?? []),
      { name, in: "header", required: false, description, schema }
    ]
  })

/** Changes how a parameter is described, such as its style. */
export const parameter =
  (name: string, more: Readonly<Record<string, unknown>>): Change =>
  (operation) => ({
    ...operation,
    parameters: (operation.parameters ?? []).map((one) => (one.name === name ? { ...one, ...more } : one))
  })

/** The body of the request, which has to be there. */
export const takes =
  (description: string, content: Content): Change =>
  (operation) => ({ ...operation, requestBody: { description, content, required: true } })

const listsOf = ({ schema }: Media): ReadonlyArray<string> => {
  const properties: unknown = schema?.properties
  return typeof properties !== "object" || properties === null
    ? []
    : Object.entries(properties).flatMap(([name, { type }]) => (type === "array" ? [name] : []))
}

/** A form, which may be there; its lists have commas between. */
export const takesForm =
  (description: string): Change =>
  ({ requestBody, ...operation }) => {
    const content = Object.fromEntries(
      Object.entries(requestBody?.content ?? {}).map(([type, media]) => {
        const encoding = Object.fromEntries(listsOf(media).map((name) => [name, Described.commaSeparated]))
        return [type, { ...media, encoding }]
      })
    )
    return { ...operation, requestBody: { description, content, required: false } }
  }

const answer =
  (change: (answer: Answer, status: string) => Answer, ...statuses: ReadonlyArray<number | string>): Change =>
  (operation) => {
    const responses = { ...operation.responses }
    for (const status of statuses.map(String)) responses[status] = change(responses[status] ?? {}, status)
    return { ...operation, responses }
  }

/** A header of the answers with these statuses. */
export const sends = (
  name: string,
  description: string,
  schema: Form,
  ...statuses: ReadonlyArray<number | string>
): Change =>
  answer(
    (before) => ({ ...before, headers: { ...before.headers, [name]: { description, schema } } }),
    ...statuses
  )

/** What an answer with this status is, and the types that its body may have; without those, as it is. */
export const answers = (status: number | string, description: string, content?: Content): Change =>
  answer((before) => ({ ...before, description, ...(content === undefined ? {} : { content }) }), status)

/** Bytes, whatever they are. */
export const bytes: Content = { "application/octet-stream": { schema: { type: "string", format: "binary" } } }
