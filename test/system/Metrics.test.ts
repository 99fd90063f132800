/**
 * `GET /metrics` through the whole app, in a process in which nothing has been counted yet: files with other options than
 * most have one of their own.
 *
 * @vitest-environment-options { "of": "metrics" }
 */
import { HttpClient } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Metric, Option } from "effect"
import type { GivenSettings } from "../../src/index.ts"
import * as OutboxEnd from "../../src/shared-files/outbox/OutboxEnd.ts"
import { nodesListLayer } from "../../src/testing/Topology.ts"
import { temporaryFolder } from "../support/Folders.ts"
import { servedRelay } from "../support/ServedRelay.ts"

const tree = {
  a: { hostname: "a.example.com" },
  relay: { hostname: "relay.example.com" },
  behind: { hostname: "behind.example.com", relays: ["relay"] }
}

const get = (path: string, settings: GivenSettings = {}) =>
  Effect.gen(function* () {
    const directory = yield* temporaryFolder
    return yield* Effect.gen(function* () {
      const response = yield* Effect.flatMap(HttpClient.HttpClient, (client) => client.get(path))
      return { status: response.status, headers: response.headers, body: yield* response.text }
    }).pipe(Effect.provide(servedRelay(directory, nodesListLayer(tree), settings)))
  })

/** The samples of an answer: every line that is no comment is one. */
const samples = (body: string): Record<string, number> =>
  Object.fromEntries(
    body
      .trimEnd()
      .split("\n")
      .filter((line) => !line.startsWith("#"))
      .map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ") + 1))])
  )

describe("GET /metrics", () => {
  it.scoped("says how many nodes, runs, agents and files there are", () =>
    Effect.gen(function* () {
      const { status, headers, body } = yield* get("/metrics")
      expect([status, headers["content-type"]]).toEqual([200, "text/plain; version=0.0.4; charset=utf-8"])
      expect(samples(body)).toMatchObject({
        rudder_relayd_managed_nodes_total: 2,
        rudder_relayd_sub_nodes_total: 3,
        rudder_relayd_active_runs: 0,
        rudder_relayd_running_agents: 0,
        rudder_relayd_unkillable_processes: 0,
        'rudder_relayd_outbox_files{state="waiting"}': 0,
        'rudder_relayd_outbox_files{state="refused"}': 0,
        'rudder_relayd_outbox_bytes{state="waiting"}': 0,
        'rudder_relayd_outbox_bytes{state="refused"}': 0
      })
      for (const line of body.trimEnd().split("\n"))
        expect(line).toMatch(
          /^(?:# (?:HELP \w+ .+|TYPE \w+ (?:counter|gauge))|rudder_relayd_\w+(?:\{\w+="[^"]*"\})? \d+)$/
        )
    })
  )

  it.scoped("counts what becomes of files for the policy server, from 0 on", () =>
    Effect.gen(function* () {
      const countOf = (end: OutboxEnd.OutboxEnd) =>
        Effect.map(
          get("/metrics"),
          ({ body }) => samples(body)[`rudder_relayd_outbox_entries_total{end="${end}"}`]
        )
      for (const end of OutboxEnd.ends) expect([end, yield* countOf(end)]).toEqual([end, 0])
      yield* Metric.increment(OutboxEnd.counterOf("refused"))
      expect([yield* countOf("refused"), yield* countOf("delivered")]).toEqual([1, 0])
    })
  )

  it.scoped("is at the root of the server, for those in access.admin", () =>
    Effect.gen(function* () {
      expect((yield* get("/metrics?name=value")).status).toBe(200)
      for (const path of ["/metrics/", "/metricsx", "/Metrics"])
        expect([path, (yield* get(path)).status]).toEqual([path, 404])
      const admin = Option.some(["192.0.2.1"])
      expect((yield* get("/metrics", { access: { admin } })).status).toBe(403)
    })
  )
})
