/** `GET /metrics` of the built program, as a Prometheus beside it would ask. */
import { afterAll, describe, expect, it } from "vitest"
import { cleanUp, command, curl, start } from "./support/Program.ts"

afterAll(cleanUp)

describe("the metrics", () => {
  it("are at the root, in Prometheus' format, and for administrators", async () => {
    const relay = await start({
      nodes: {
        root: { hostname: "server", "policy-server": "root" },
        R: { hostname: "r.example.com", "policy-server": "root" },
        C: { hostname: "c.example.com", "policy-server": "R" }
      }
    })
    const { stdout } = await command("curl", ["-sS", "-i", `${relay.origin}/metrics`])
    expect(stdout).toMatch(/^HTTP\/1\.1 200 /)
    expect(stdout.toLowerCase()).toContain("content-type: text/plain; version=0.0.4; charset=utf-8\r\n")
    expect(stdout).toContain(
      [
        "# HELP rudder_relayd_managed_nodes_total Nodes whose policy server is this relay",
        "# TYPE rudder_relayd_managed_nodes_total gauge",
        "rudder_relayd_managed_nodes_total 2",
        ""
      ].join("\n")
    )
    expect(stdout).toContain("\nrudder_relayd_sub_nodes_total 3\n")
    expect(stdout).toContain('\nrudder_relay_outbox_deliveries_total{outcome="delivered"} 0\n')
    expect((await curl("-X", "POST", `${relay.origin}/metrics`)).status).toBe(405)
    expect((await curl("-H", "X-Forwarded-For: 198.51.100.7", `${relay.origin}/metrics`)).status).toBe(403)
  })
})
