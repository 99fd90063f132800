/**
 * The description of the whole API, in OpenAPI: what holds for every operation alike, and the tidying of what `HttpApi`
 * makes of what it has no words for.
 */
import * as Described from "./Described.ts"
import type { Answer, Header, Operation } from "./Operation.ts"

type Members = Readonly<Record<string, unknown>>

const isMembers = (value: unknown): value is Members =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const members = (value: unknown): Members => (isMembers(value) ? value : {})

const mapped = (of: Members, change: (value: Members, name: string) => unknown): Members =>
  Object.fromEntries(Object.entries(of).map(([name, value]) => [name, change(members(value), name)]))

const schemaPath = "#/components/schemas/"

/** The platform's own error, in whose place each request gets `InvalidRequest`. */
const platformError = `${schemaPath}HttpApiDecodeError`

/** What the platform says of a body that is not there. */
const isVoid = (schema: unknown): boolean => members(schema).$id === "/schemas/void"

const withoutPlatformError = (schema: Members): Members | undefined => {
  if (schema.$ref === platformError) return undefined
  const { anyOf, ...rest } = schema
  if (!Array.isArray(anyOf)) return schema
  const others = anyOf.filter((one) => members(one).$ref !== platformError && !isVoid(one))
  // One error with several statuses comes as often.
  const left = [...new Map(others.map((one) => [JSON.stringify(one), one])).values()]
  const [only] = left
  return left.length === 1 && isMembers(only) ? { ...only, ...rest } : { ...rest, anyOf: left }
}

const contentOf = (answer: Answer): Members => {
  const kept = Object.entries(members(answer.content)).flatMap(([type, media]) => {
    const { schema, ...rest } = members(media)
    const left = isVoid(schema) ? undefined : withoutPlatformError(members(schema))
    return left === undefined ? [] : [[type, { schema: left, ...rest }] as const]
  })
  return kept.length === 0 ? {} : { content: Object.fromEntries(kept) }
}

const idHeader: Readonly<Record<string, Header>> = {
  "X-Request-Id": { $ref: "#/components/headers/RequestId" }
}

/** What goes with a status wherever it is answered. */
const headersOf: Readonly<Record<string, Readonly<Record<string, Header>>>> = {
  "405": { Allow: { $ref: "#/components/headers/Allow" } },
  "503": { "Retry-After": { $ref: "#/components/headers/RetryAfter" } }
}

const headers = {
  RequestId: {
    description: "The request's id, under which the log has what it says of the request.",
    required: true,
    schema: Described.requestId
  },
  Allow: {
    description: "The methods that this path has.",
    schema: { type: "string", examples: ["GET, POST"] }
  },
  RetryAfter: {
    description: "When another try is worth it. Seconds.",
    schema: { type: "integer", minimum: 0 }
  }
}

const idParameter = {
  name: "X-Request-Id",
  in: "header",
  required: false,
  description:
    "The caller's own id of the request. One that is not of the form that the answer's has is not used.",
  schema: { type: "string", examples: Described.requestId.examples }
}

/** The names of the schemas that are referred to directly. */
const namesIn = (of: unknown): ReadonlyArray<string> => [
  ...new Set(
    Array.from(JSON.stringify(of).matchAll(/"#\/components\/schemas\/([^"]+)"/g), ([, name = ""]) => name)
  )
]

/** An error is what its schema says. */
const errorDescription = (content: Members, schemas: Members): string | undefined => {
  const said = namesIn(content).flatMap((name) => {
    const { description } = members(schemas[name])
    return typeof description === "string" ? [`${name}: ${description}`] : []
  })
  return said.length === 0 ? undefined : said.join(" ")
}

const responses = (operation: Operation, method: string, schemas: Members): Members =>
  Object.fromEntries(
    Object.entries(operation.responses ?? {}).flatMap(([status, before]) => {
      const content = contentOf(before)
      // Only the platform's error had this status.
      if (status === "400" && method !== "head" && content.content === undefined) return []
      const { content: _, description = "", headers, ...rest } = before
      const error = /^[45]/.test(status) ? errorDescription(content, schemas) : undefined
      const answer = {
        description: error ?? description,
        ...rest,
        headers: { ...idHeader, ...headersOf[status], ...headers },
        // An answer to HEAD has no body (RFC 9110, 9.3.2).
        ...(method === "head" ? {} : content)
      }
      return [[status, answer] as const]
    })
  )

const operation = (of: Operation, method: string, schemas: Members): Members => ({
  ...of,
  parameters: [...(of.parameters ?? []), { $ref: "#/components/parameters/RequestId" }],
  responses: responses(of, method, schemas)
})

/** The schemas that are referred to, from here or from one another. */
const referred = (from: unknown, schemas: Members, found = new Set<string>()): ReadonlySet<string> => {
  for (const name of namesIn(from).filter((one) => !found.has(one))) {
    found.add(name)
    referred(schemas[name] ?? {}, schemas, found)
  }
  return found
}

/** OpenAPI has no wildcards: there, the rest of a path is a parameter like any other. */
const withNamedRest = (document: Members): Members =>
  members(
    JSON.parse(
      JSON.stringify(document).replaceAll('/*":', '/{path}":').replaceAll('"name":"*"', '"name":"path"')
    )
  )

/** Completes the document that `HttpApi` makes: an `OpenApi.Transform` of the API. */
export const complete = (made: Members): Members => {
  const document = withNamedRest(made)
  const components = members(document.components)
  const schemas = members(components.schemas)
  const paths = mapped(members(document.paths), (methods) =>
    mapped(methods, (of, method) => operation(of, method, schemas))
  )
  const used = referred(paths, schemas)
  const { securitySchemes: _, ...others } = components
  return {
    ...document,
    paths,
    components: {
      ...others,
      parameters: { RequestId: idParameter },
      headers,
      schemas: Object.fromEntries(Object.entries(schemas).filter(([name]) => used.has(name)))
    }
  }
}
