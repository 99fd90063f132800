/**
 * `GET /metrics` through the whole app, in a process in which nothing has been counted yet: files with other options than
 * most have one of their own.
 *
 * @vitest-environment-options { "of": "metrics" }
 */
import { HttpClient } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import package_ from "../../package.json" with { type: "json" }
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
  it.scoped("says how many nodes, runs, agents and files there are, and what room is left", () =>
    Effect.gen(function* () {
      const { status, headers, body } = yield* get("/metrics")
      expect([status, headers["content-type"]]).toEqual([200, "text/plain; version=0.0.4; charset=utf-8"])
      expect(samples(body)).toMatchObject({
        rudder_relayd_managed_nodes_total: 2,
        rudder_relayd_sub_nodes_total: 3,
        [`rudder_relay_build_info{version="${package_.version}",node="root"}`]: 1,
        rudder_relay_nodes_list_ok: 1,
        rudder_relay_runs_active: 0,
        rudder_relay_agents_running: 0,
        rudder_relay_agents_waiting: 0,
        rudder_relay_agents_overdue: 0,
        rudder_relay_unkillable_processes: 0,
        'rudder_relay_outbox_entries{state="waiting"}': 0,
        'rudder_relay_outbox_entries{state="refused"}': 0,
        'rudder_relay_outbox_bytes{state="waiting"}': 0,
        'rudder_relay_outbox_bytes{state="refused"}': 0,
        rudder_relay_outbox_oldest_seconds: 0,
        'rudder_relay_free_bytes{folder="shared_files"}': expect.any(Number),
        'rudder_relay_free_bytes{folder="runs"}': expect.any(Number)
      })
      for (const line of body.trimEnd().split("\n"))
        expect(line).toMatch(
          /^(?:# (?:HELP \w+ .+|TYPE \w+ (?:counter|gauge|histogram))|(?:rudder_relayd?|process)_\w+(?:\{\w+="[^"]*"(?:,\w+="[^"]*")*\})? [0-9.e+-]+)$/
        )
    })
  )

  it.scoped("has the figures of the process by the names that dashboards know", () =>
    Effect.gen(function* () {
      const found = samples((yield* get("/metrics")).body)
      for (const name of [
        "process_cpu_seconds_total",
        "process_open_fds",
        "process_max_fds",
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
        "process_start_time_seconds"
      ])
        expect([name, found[name]]).toEqual([name, expect.any(Number)])
      expect(found.process_resident_memory_bytes).toBeGreaterThan(10_000_000)
      const started = Date.now() / 1000 - process.uptime()
      expect(Math.abs((found.process_start_time_seconds ?? 0) - started)).toBeLessThan(60)
    })
  )

  it.scoped("counts what becomes of files, runs, agents and callers, from 0 on", () =>
    Effect.gen(function* () {
      const first = samples((yield* get("/metrics")).body)
      for (const end of OutboxEnd.ends)
        expect(first[`rudder_relay_outbox_deliveries_total{outcome="${end}"}`]).toBe(0)
      for (const result of ["stored", "queued"])
        expect(first[`rudder_relay_uploads_total{result="${result}"}`]).toBe(0)
      expect(first.rudder_relay_upload_bytes_total).toBe(0)
      expect(first['rudder_relay_upload_refusals_total{reason="hash-mismatch"}']).toBe(0)
      for (const outcome of ["ok", "failed", "stopped", "cancelled"])
        expect(first[`rudder_relay_runs_total{outcome="${outcome}"}`]).toBe(0)
      expect(first['rudder_relay_agents_total{outcome="ok"}']).toBe(0)
      expect(first.rudder_relay_agent_seconds_count).toBe(0)
      OutboxEnd.count("refused")
      const then = samples((yield* get("/metrics")).body)
      expect(then['rudder_relay_outbox_deliveries_total{outcome="refused"}']).toBe(1)
      expect(then['rudder_relay_outbox_deliveries_total{outcome="delivered"}']).toBe(0)
    })
  )

  it.scoped("counts requests by route and status, and never by path", () =>
    Effect.gen(function* () {
      const route = 'method="GET",route="/metrics",status="200"'
      const before = samples((yield* get("/metrics")).body)
      const path = "/rudder/relay-api/remote-run/runs/0190aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee"
      yield* get(path)
      yield* get("/rudder/relay-api/no/such/route")
      const { body } = yield* get("/metrics")
      const after = samples(body)
      const name = `rudder_relay_requests_total{${route}}`
      expect((after[name] ?? 0) - (before[name] ?? 0)).toBe(1)
      expect(after[`rudder_relay_request_seconds_count{${route}}`]).toBe(after[name])
      expect(after[`rudder_relay_request_seconds_bucket{${route},le="+Inf"}`]).toBe(after[name])
      expect(
        after['rudder_relay_requests_total{method="GET",route="/remote-run/runs/:id",status="404"}']
      ).toBe(1)
      expect(after['rudder_relay_requests_total{method="GET",route="none",status="404"}']).toBe(1)
      expect(body).not.toContain("0190aaaa")
    })
  )

  it.scoped("is at the root of the server, for those in access.admin", () =>
    Effect.gen(function* () {
      expect((yield* get("/metrics?name=value")).status).toBe(200)
      for (const path of ["/metrics/", "/metricsx", "/Metrics"])
        expect([path, (yield* get(path)).status]).toEqual([path, 404])
      const admin = Option.some(["192.0.2.1"])
      const rule = 'rudder_relay_access_refusals_total{rule="access.admin"}'
      const before = samples((yield* get("/metrics")).body)[rule] ?? -1
      expect((yield* get("/metrics", { access: { admin } })).status).toBe(403)
      expect(samples((yield* get("/metrics")).body)[rule]).toBe(before + 1)
    })
  )
})
