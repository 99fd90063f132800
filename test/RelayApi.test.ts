/** The API's description against the contract: every route with its parameters, bodies, statuses and headers. */
import { OpenApi } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Schema } from "effect"
import package_ from "../package.json" with { type: "json" }
import { RelayApi } from "../src/RelayApi.ts"

const Parameter = Schema.Struct({
  name: Schema.String,
  in: Schema.String,
  required: Schema.optional(Schema.Boolean),
  schema: Schema.Record({ key: Schema.String, value: Schema.Unknown })
})
type Parameter = typeof Parameter.Type

const Content = Schema.Record({ key: Schema.String, value: Schema.Unknown })
const Answer = Schema.Struct({
  description: Schema.NonEmptyString,
  headers: Schema.Record({ key: Schema.String, value: Schema.Unknown }),
  content: Schema.optional(Content)
})
const Operation = Schema.Struct({
  operationId: Schema.String,
  summary: Schema.NonEmptyString,
  parameters: Schema.Array(Schema.Union(Parameter, Schema.Struct({ $ref: Schema.String }))),
  requestBody: Schema.optional(Schema.Struct({ content: Content, required: Schema.Boolean })),
  responses: Schema.Record({ key: Schema.String, value: Answer })
})
type Operation = typeof Operation.Type

/** As it is served. */
const document = JSON.parse(JSON.stringify(OpenApi.fromApi(RelayApi)))
const paths = Schema.decodeUnknownSync(
  Schema.Record({ key: Schema.String, value: Schema.Record({ key: Schema.String, value: Operation }) })
)(document.paths)

const operations = new Map<string, Operation>(
  Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(
      ([method, operation]) => [`${method.toUpperCase()} ${path}`, operation] as const
    )
  )
)

const own = ({ parameters }: Operation): ReadonlyArray<Parameter> =>
  parameters.filter((parameter) => "name" in parameter)

/** `name` of the query; a required one has a star, one of the path braces, a header its colon. */
const shortly = (parameter: Parameter): string => {
  if (parameter.in === "path") return `{${parameter.name}}`
  if (parameter.in === "header") return `${parameter.name}:`
  return `${parameter.name}${parameter.required === true ? "*" : ""}`
}

interface Route {
  /** In their order. */
  readonly parameters: string
  /** Of the body that it takes. */
  readonly takes?: string
  readonly statuses: string
  /** Of the bodies of 200. */
  readonly answers?: string
}

const control = "batch batch_wait canary max_failures splay preview actor reason"
const start = `output async classes format keep_output asynchronous conditions ${control} Idempotency-Key:`
const starts: Omit<Route, "parameters"> = {
  statuses: "200 202 400 403 404 405 408 409 413 500 503 507",
  answers: "text/plain application/x-ndjson application/json"
}
const form = "application/x-www-form-urlencoded"
const conditions = "{path} hash hash_type If-None-Match: If-Modified-Since:"
const stores = {
  takes: "application/octet-stream",
  statuses: "200 202 400 403 404 405 408 413 4XX 500 503 507",
  answers: "application/json"
}
const checks = "200 400 403 404 405 4XX 500 503"
const json = "application/json"

const contract: Record<string, Route> = {
  "GET /remote-run/node/{uuid}": { parameters: `{uuid} ${start}`, ...starts },
  "POST /remote-run/node/{uuid}": { parameters: `{uuid} ${start}`, takes: form, ...starts },
  "POST /remote-run/nodes/{uuid}": { parameters: `{uuid} ${start}`, takes: form, ...starts },
  "GET /remote-run/nodes": { parameters: `nodes* ${start}`, ...starts },
  "POST /remote-run/nodes": { parameters: `nodes ${start}`, takes: form, ...starts },
  "GET /remote-run/all": { parameters: start, ...starts },
  "POST /remote-run/all": { parameters: start, takes: form, ...starts },
  "GET /remote-run/runs": {
    parameters: "limit before node actor since state",
    statuses: "200 400 403 404 405 500",
    answers: json
  },
  "GET /remote-run/runs/{id}": { parameters: "{id}", statuses: "200 403 404 405 500", answers: json },
  "DELETE /remote-run/runs/{id}": { parameters: "{id}", statuses: "200 202 403 404 405 500", answers: json },
  "POST /remote-run/runs/{id}/retry": { parameters: `{id} only ${start}`, takes: form, ...starts },
  "GET /remote-run/runs/{id}/output": {
    parameters: "{id} format node stream state from Last-Event-ID:",
    statuses: "200 204 400 403 404 405 500",
    answers: "text/plain application/x-ndjson text/event-stream"
  },
  "POST /shared-files/node/{target_uuid}/{file_id}": {
    parameters:
      "{target_uuid} {file_id} source-uuid* signature* algorithm public-key hash ttl date request-signature",
    ...stores
  },
  "HEAD /shared-files/node/{target_uuid}/{file_id}": {
    parameters: "{target_uuid} {file_id} source-uuid* hash* algorithm",
    statuses: checks
  },
  "PUT /shared-files/{target}/{source}/{file_id}": {
    parameters: "{target} {source} {file_id} ttl",
    ...stores
  },
  "HEAD /shared-files/{target}/{source}/{file_id}": {
    parameters: "{target} {source} {file_id} hash",
    statuses: checks
  },
  "GET /shared-folder/{path}": {
    parameters: `${conditions} Range: If-Range:`,
    statuses: "200 206 304 400 403 404 405 416 500",
    answers: "application/octet-stream"
  },
  "HEAD /shared-folder/{path}": { parameters: conditions, statuses: "200 304 400 403 404 405 500" },
  "GET /system/info": { parameters: "", statuses: "200 403 405 500", answers: json },
  "GET /system/status": { parameters: "", statuses: "200 403 405 500", answers: json },
  "POST /system/reload": { parameters: "", statuses: "200 403 405 500", answers: json },
  "GET /system/outbox": { parameters: "limit before", statuses: "200 400 403 405 500", answers: json },
  "POST /system/outbox/retry": { parameters: "", statuses: "200 403 405 500", answers: json },
  "DELETE /system/outbox/{id}": { parameters: "{id}", statuses: "200 403 404 405 500", answers: json },
  "GET /system/nodes": { parameters: "limit after match", statuses: "200 400 403 405 500", answers: json },
  "GET /system/files": {
    parameters: "target source limit after",
    statuses: "200 400 403 405 500",
    answers: json
  },
  "DELETE /system/files/{target}/{source}/{file_id}": {
    parameters: "{target} {source} {file_id}",
    statuses: "200 400 403 404 405 500 507",
    answers: json
  },
  "GET /metrics": {
    parameters: "",
    statuses: "200 403 405 500",
    answers: "text/plain; version=0.0.4; charset=utf-8"
  },
  "GET /openapi.json": { parameters: "", statuses: "200 403 405 500", answers: json },
  "GET /docs": { parameters: "", statuses: "200 403 405 500", answers: "text/html" }
}

const typesOf = (content: object | undefined): string | undefined =>
  content === undefined ? undefined : Object.keys(content).join(" ")

const asRoute = (operation: Operation): Route => {
  const takes = typesOf(operation.requestBody?.content)
  const answers = typesOf(operation.responses["200"]?.content)
  return {
    parameters: own(operation).map(shortly).join(" "),
    ...(takes === undefined ? {} : { takes }),
    statuses: Object.keys(operation.responses).sort().join(" "),
    ...(answers === undefined ? {} : { answers })
  }
}

describe("the API's description", () => {
  it("has the routes of the contract, with their parameters, bodies and statuses", () => {
    const described = Object.fromEntries(
      Array.from(operations, ([route, operation]) => [route, asRoute(operation)])
    )
    expect(described).toEqual(contract)
  })

  it("says both places where the API is, and the package's version", () => {
    expect(document.servers.map(({ url }: { url: string }) => url)).toEqual([
      "/rudder/relay-api",
      "/rudder/relay-api/1"
    ])
    expect(document.info).toMatchObject({ title: "Rudder relay API", version: package_.version })
    expect(document.paths["/metrics"].get.servers).toMatchObject([{ url: "/" }])
  })

  it("names the error of each status, in JSON; an answer to HEAD has no body", () => {
    for (const [route, { responses }] of operations)
      for (const [status, { content }] of Object.entries(responses)) {
        if (route.startsWith("HEAD") || ["204", "304", "416"].includes(status))
          expect([route, status, content]).toEqual([route, status, undefined])
        else if (/^[45]/.test(status))
          expect([route, status, JSON.stringify(content)]).toEqual([
            route,
            status,
            expect.stringMatching(/^{"application\/json":.*"#\/components\/schemas\//)
          ])
      }
  })

  it("has the request's id in every answer, what is allowed in 405, and when to come again in 503", () => {
    for (const [, { parameters, responses }] of operations) {
      expect(parameters).toContainEqual({ $ref: "#/components/parameters/RequestId" })
      for (const [status, { headers }] of Object.entries(responses)) {
        expect(headers["X-Request-Id"]).toBeDefined()
        expect(headers.Allow !== undefined).toBe(status === "405")
        expect(headers["Retry-After"] !== undefined).toBe(status === "503")
      }
    }
  })

  it("describes every parameter, and bounds it where the contract does", () => {
    const form = (route: string, name: string) => {
      const operation = operations.get(route)
      return operation && own(operation).find((one) => one.name === name)?.schema
    }
    expect(form("GET /remote-run/runs", "limit")).toMatchObject({
      type: "integer",
      minimum: 1,
      maximum: 1000,
      default: 50
    })
    expect(form("GET /remote-run/all", "output")).toMatchObject({
      enum: ["keep", "discard"],
      default: "discard"
    })
    expect(form("GET /remote-run/all", "format")).toMatchObject({ enum: ["text", "ndjson", "raw"] })
    expect(form("GET /remote-run/runs/{id}/output", "format")).toMatchObject({
      enum: ["text", "ndjson", "raw", "sse"]
    })
    const share = "POST /shared-files/node/{target_uuid}/{file_id}"
    expect(form(share, "algorithm")).toMatchObject({ enum: ["sha512", "sha256"], default: "sha512" })
    const fits = (name: string, text: string) => new RegExp(String(form(share, name)?.pattern)).test(text)
    for (const id of ["a", "..a", "A-1_b.c", "x".repeat(200)]) expect(fits("target_uuid", id)).toBe(true)
    for (const id of ["", ".", "..", "a/b", "a b", "x".repeat(201)])
      expect(fits("target_uuid", id)).toBe(false)
    for (const id of ["a.metadata", "a.METAdata"]) expect(fits("file_id", id)).toBe(false)
    for (const id of ["metadata", "a.metadata.b"]) expect(fits("file_id", id)).toBe(true)
    for (const [, operation] of operations)
      for (const { schema } of own(operation)) expect(schema.type ?? schema.$ref).toBeDefined()
  })

  it("has the events of a run's stream, and nothing of the platform's own", () => {
    const { schemas } = document.components
    expect(schemas.RunStreamEvent.anyOf).toEqual(
      ["RunEvent", "StartEvent", "OutputEvent", "EndEvent", "DoneEvent", "PingEvent"].map((name) => ({
        $ref: `#/components/schemas/${name}`
      }))
    )
    for (const name of ["RunEvent", "StartEvent", "OutputEvent", "EndEvent", "DoneEvent", "PingEvent"])
      expect(schemas[name].examples.length).toBeGreaterThan(0)
    expect(JSON.stringify(document)).not.toMatch(/HttpApiDecodeError|\/schemas\/(?:void|unknown|any|never)/)
  })
})
