/** The relay runs real agents: as a user of its own, with sudo for one command, which goes over cf-runagent. */
import { chmodSync, chownSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { basename, join } from "node:path"
import { describe, expect, it } from "vitest"
import {
  type DaemonUser,
  freePort,
  type Host,
  introduce,
  remoteRunCommand,
  serve
} from "./support/Cfengine.ts"
import { onSite } from "./support/CfengineSite.ts"
import { curl, events, type Relay, start } from "./support/Program.ts"

const policy = (name: string, then: string) => `
body common control { bundlesequence => { "before", "main" }; }
body agent control { abortclasses => { "no_further" }; }
bundle agent before
{
  reports:
      "this is ${name}";
    gold::
      "gold is set";
    silver::
      "silver is set";
}
bundle agent main
{
${then}
}
`

let user: DaemonUser
let relay: Relay
/** Those that the command calls agents with. */
let keys: string

/** A host that runs cf-agent on a policy when it is asked to. */
const asked = (one: Host, server: Host, then = ""): Promise<number> => {
  introduce(one, server)
  const input = one.input("policy.cf", policy(basename(one.folder), then))
  const command = join(one.folder, "run-agent")
  writeFileSync(
    command,
    `#!/bin/sh\nexport CFENGINE_TEST_OVERRIDE_WORKDIR="${one.folder}"\nexec cf-agent --no-lock --file "${input}" "$@"\n`
  )
  chmodSync(command, 0o755)
  return serve(one, { runs: command })
}

onSite(async ({ folder, host, ...site }) => {
  user = site.user
  const server = host("server")
  chmodSync(server.folder, 0o755)
  keys = join(server.folder, "ppkeys")
  const command = remoteRunCommand(server, {
    "well.example.com": await asked(host("well"), server),
    "failing.example.com": await asked(
      host("failing"),
      server,
      `  classes: "no_further" expression => "any", scope => "namespace";`
    ),
    "down.example.com": await freePort()
  })
  const directory = join(folder, "relay")
  mkdirSync(directory)
  chownSync(directory, user.uid, user.gid)
  const node = (hostname: string) => ({ hostname, "policy-server": "root" })
  user.allow(command)
  relay = await start({
    directory,
    prefix: user.prefix,
    nodes: {
      well: node("well.example.com"),
      failing: node("failing.example.com"),
      down: node("down.example.com")
    },
    config: { remote_run: { use_sudo: true, command } }
  })
  return relay
})

const line = (body: string, node: string) =>
  body
    .split("\n")
    .filter((text) => text.startsWith(`${node}:`))
    .map((text) => text.slice(node.length + 1))

describe("the relay runs cf-agent on three hosts, one failing and one down", () => {
  it("as a user of its own, with sudo for the one command", () => {
    const [, uids] = /^Uid:\s+(.*)$/m.exec(readFileSync(`/proc/${relay.pid}/status`, "utf8")) ?? []
    expect(uids?.split("\t")).toEqual(Array(4).fill(String(user.uid)))
    // CFEngine's keys are root's alone.
    expect(statSync(keys)).toMatchObject({ uid: 0, mode: 0o40700 })
  })

  it("text: a block for each, with output, codes and what went wrong", async () => {
    const { status, body } = await curl(`${relay.url}/remote-run/all?output=keep&classes=gold,silver`)
    expect(status).toBe(200)
    const told = events(body)
    expect(told[0]).toMatchObject({
      event: "run",
      nodes: ["well", "failing", "down"],
      classes: ["gold", "silver"]
    })
    expect(line(body, "well")).toEqual(["R: this is well", "R: gold is set", "R: silver is set"])
    expect(line(body, "failing").slice(0, 3)).toEqual([
      "R: this is failing",
      "R: gold is set",
      "R: silver is set"
    ])
    expect(line(body, "failing")[3]).toMatch(/aborted on defined class 'no_further'/)
    expect(line(body, "down")).toEqual([])
    const end = (node: string) => told.find((event) => event.event === "end" && event.node === node)
    expect(end("well")).toMatchObject({ code: 0, stderr: expect.stringContaining("(exit code: 0)") })
    expect(end("failing")).toMatchObject({ code: 6, stderr: expect.stringContaining("(exit code: 6)") })
    expect(end("down")).toMatchObject({ code: 255, stderr: expect.stringContaining("Failed to connect") })
    expect(told.at(-1)).toMatchObject({ event: "done", ok: 1, failed: 2 })
    // One node's block is not torn by another's lines.
    const nodes = told.flatMap(({ event, node }) => (event === "start" || event === "end" ? [node] : []))
    expect(nodes.filter((_, i) => i % 2 === 0)).toEqual(nodes.filter((_, i) => i % 2 === 1))
  })

  it("only the classes that were asked for", async () => {
    const { body } = await curl(`${relay.url}/remote-run/node/well?output=keep&classes=silver`)
    expect(line(body, "well")).toEqual(["R: this is well", "R: silver is set"])
    const none = await curl(`${relay.url}/remote-run/node/well?output=keep`)
    expect(line(none.body, "well")).toEqual(["R: this is well"])
  })

  it("ndjson: every line as an object with its stream", async () => {
    const { body } = await curl(
      "-H",
      "Accept: application/x-ndjson",
      `${relay.url}/remote-run/nodes?nodes=well,down&output=keep&async=yes&classes=gold`
    )
    const told = body
      .trimEnd()
      .split("\n")
      .map((text) => JSON.parse(text))
    const lines = (node: string, stream: string) =>
      told.filter((event) => event.event === "output" && event.node === node && event.stream === stream)
    expect(lines("well", "stdout").map((event) => event.line)).toEqual(["R: this is well", "R: gold is set"])
    expect(lines("down", "stdout")).toEqual([])
    expect(
      lines("down", "stderr")
        .map((event) => event.line)
        .join("\n")
    ).toContain("Failed to connect")
    expect(told.at(-1)).toMatchObject({ event: "done", ok: 1, failed: 1 })
  })

  it("raw: the agents' bytes and nothing else", async () => {
    const { body } = await curl(`${relay.url}/remote-run/nodes?nodes=well,down&output=keep&format=raw`)
    expect(body).toBe("R: this is well\n")
  })

  it("v1: the webapp sees what the agent printed", async () => {
    const form = ["-d", "classes=gold", "-d", "keep_output=true", "-d", "asynchronous=false"]
    const { body } = await curl(...form, `${relay.url}/remote-run/nodes/well`)
    expect(body).toBe("R: this is well\nR: gold is set\n")
  })
})
