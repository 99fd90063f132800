/** The alerting rules, the dashboard and the metrics of the built program, by Prometheus' own tool. */
import { execFileSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest"
import { makeIdentity, removeIdentities } from "./support/Identities.ts"
import { cleanUp, command, curl, nodes, start } from "./support/Program.ts"

const folder = fileURLToPath(new URL("../../docs/monitoring", import.meta.url))
const page = readFileSync(join(folder, "../monitoring.md"), "utf8")
const rules = readFileSync(join(folder, "alerts.yml"), "utf8")
const dashboard = JSON.parse(readFileSync(join(folder, "dashboard.json"), "utf8"))

afterEach(cleanUp)
afterAll(removeIdentities)

const promtool = (...args: ReadonlyArray<string>) => command("promtool", args)

/** Metrics that an expression names: not its functions, labels and what is in quotes. */
const metricsIn = (expression: string): ReadonlyArray<string> =>
  expression.replaceAll(/"[^"]*"/g, "").match(/\b(?:rudder_relayd?|process)_\w+\b|\bup\b/g) ?? []

const expressionsOf = (
  panels: ReadonlyArray<{ readonly targets?: ReadonlyArray<{ readonly expr: string }> }>
) => panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr))

const dashboardExpressions: ReadonlyArray<string> = expressionsOf(dashboard.panels)
const ruleExpressions = [...rules.matchAll(/expr: (?:>-\n)?([\s\S]*?)\n\s+(?:for|labels):/g)].map(
  ([, expression = ""]) => expression
)

let text = ""

/** A relay that has been asked, whose policy server is dead, and that has certificates of every kind: it has all metrics. */
beforeAll(async () => {
  const [me, above] = await Promise.all([makeIdentity("me"), makeIdentity("root")])
  const relay = await start({
    nodes: nodes(1),
    config: {
      general: { node_id: "me", nodes_certs_file: above.certificate },
      tls: { certificate: me.certificate, key: me.key },
      "output.upstream": { base_url: "https://127.0.0.1:9", server_certificate_file: above.certificate }
    }
  })
  const origin = relay.origin.replace("http:", "https:")
  const file = `${origin}/rudder/relay-api/shared-files/node/far/motd?source-uuid=n0&hash=${"0".repeat(64)}`
  await curl("-k", "-I", file)
  text = (await curl("-k", `${origin}/metrics`)).body
  await cleanUp()
}, 60_000)

/** Names without what a histogram adds. */
const present = () => new Set([...text.matchAll(/^# TYPE (\S+) /gm)].map(([, name = ""]) => name))

const familyOf = (name: string): string => name.replace(/_(?:bucket|sum|count)$/, "")

describe("the metrics", () => {
  it("are as Prometheus wants them, but for the two names that are Rudder's", () => {
    const file = join(mkdtempSync(join(tmpdir(), "rudder-relay-metrics-")), "metrics")
    writeFileSync(file, text)
    let said = ""
    try {
      execFileSync("sh", ["-c", 'promtool check metrics < "$1" 2>&1', "sh", file])
    } catch (error) {
      said = error instanceof Error && "stdout" in error ? String(error.stdout) : String(error)
    }
    rmSync(join(file, ".."), { recursive: true })
    expect(said.trim().split("\n")).toEqual([
      'rudder_relayd_managed_nodes_total non-counter metrics should not have "_total" suffix',
      'rudder_relayd_sub_nodes_total non-counter metrics should not have "_total" suffix'
    ])
  })

  it("are those of the documentation, each of them", () => {
    const documented = [...page.matchAll(/^\| (`[^|]+) \|/gm)].flatMap(([, cell = ""]) =>
      [...cell.matchAll(/`(\w+)`/g)].map(([, name = ""]) => name)
    )
    expect([...present()].sort()).toEqual(documented.sort())
  })
})

describe("the alerting rules", () => {
  it("load", async () => {
    const { code, stdout, stderr } = await promtool("check", "rules", join(folder, "alerts.yml"))
    expect([code, stdout + stderr]).toEqual([0, expect.stringContaining("SUCCESS")])
  })

  it("fire when they should and not before, each of them", async () => {
    const { code, stdout, stderr } = await promtool("test", "rules", join(folder, "alerts.test.yml"))
    expect([code, stdout + stderr]).toEqual([0, expect.stringContaining("SUCCESS")])
    const tests = readFileSync(join(folder, "alerts.test.yml"), "utf8")
    const tested = [...tests.matchAll(/- name: (\w+)/g)].map(([, name]) => name)
    expect([...rules.matchAll(/- alert: (\w+)/g)].map(([, name]) => name).sort()).toEqual(tested.sort())
  })

  it("name metrics that there are", () => {
    expect(ruleExpressions.length).toBe([...rules.matchAll(/expr:/g)].length)
    for (const expression of ruleExpressions)
      for (const name of metricsIn(expression))
        expect([expression, name, name === "up" || present().has(familyOf(name))]).toEqual([
          expression,
          name,
          true
        ])
  })
})

describe("the dashboard", () => {
  it("names metrics that there are, in expressions that Prometheus can read", async () => {
    expect(dashboardExpressions.length).toBeGreaterThan(20)
    for (const expression of dashboardExpressions) {
      expect(metricsIn(expression)).not.toEqual([])
      for (const name of metricsIn(expression))
        expect([expression, name, name === "up" || present().has(familyOf(name))]).toEqual([
          expression,
          name,
          true
        ])
    }
    const directory = mkdtempSync(join(tmpdir(), "rudder-relay-dashboard-"))
    const asRules = dashboardExpressions.map((expression, at) => ({
      record: `panel:${at}`,
      expr: expression.replaceAll("$__rate_interval", "5m")
    }))
    const file = join(directory, "panels.yml")
    // JSON is YAML.
    writeFileSync(file, JSON.stringify({ groups: [{ name: "panels", rules: asRules }] }))
    const { code, stdout, stderr } = await promtool("check", "rules", file)
    rmSync(directory, { recursive: true })
    expect([code, stdout + stderr]).toEqual([0, expect.stringContaining("SUCCESS")])
  })

  it("has panels that do not lie over each other, each with an id of its own", () => {
    const panels: ReadonlyArray<{
      readonly id: number
      readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
    }> = dashboard.panels
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length)
    for (const { id, gridPos: one } of panels) {
      expect(one.x + one.w).toBeLessThanOrEqual(24)
      const over = panels.filter(
        ({ id: other, gridPos }) =>
          other !== id &&
          one.x < gridPos.x + gridPos.w &&
          gridPos.x < one.x + one.w &&
          one.y < gridPos.y + gridPos.h &&
          gridPos.y < one.y + one.h
      )
      expect([id, over.map((panel) => panel.id)]).toEqual([id, []])
    }
  })
})
