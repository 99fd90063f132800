/** What a relay that is served answers about remote runs. */
import { FileSystem, HttpClient, HttpClientRequest, type HttpServer } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { Effect } from "effect"
import type { AgentScript } from "../../src/testing/ScriptedAgents.ts"
import { nodesListLayer } from "../../src/testing/Topology.ts"
import { servedRelay } from "./ServedRelay.ts"

export interface Answer {
  readonly status: number
  readonly type: string
  readonly body: string
}

/** The JSON lines of an answer in text or ndjson. */
export const eventsIn = ({ body }: Answer): ReadonlyArray<Record<string, unknown>> =>
  body
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line))

/** Asks, under the base path; its answer is read to the end. */
export const ask = (method: "GET" | "POST" | "DELETE", path: string, headers: Record<string, string> = {}) =>
  Effect.gen(function* () {
    const client = yield* HttpClient.HttpClient
    const request = HttpClientRequest.make(method)(`/rudder/relay-api/remote-run/${path}`)
    const answer = yield* client.execute(HttpClientRequest.setHeaders(request, headers))
    const found: Answer = {
      status: answer.status,
      type: answer.headers["content-type"] ?? "",
      body: yield* answer.text
    }
    return found
  })

/** A relay with nodes `ok`, `bad`, `slow`, `other`, whose agents say their host name. */
export const withServedRelay = <A, E>(
  test: Effect.Effect<A, E, HttpClient.HttpClient | HttpServer.HttpServer>,
  script: (host: string, classes: ReadonlyArray<string>) => AgentScript
) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const directory = yield* fs.makeTempDirectoryScoped({ prefix: "rudder-relay-asked-" })
    const tree = Object.fromEntries(["ok", "bad", "slow", "other"].map((id) => [id, { hostname: id }]))
    const layer = servedRelay(directory, nodesListLayer(tree), {}, ({ hostname, classes }) => ({
      writes: [{ bytes: `hello from ${hostname} ${classes.join("+")}\n` }],
      ...script(hostname, classes)
    }))
    return yield* Effect.provide(test, layer)
  }).pipe(Effect.scoped, Effect.provide(NodeContext.layer))
