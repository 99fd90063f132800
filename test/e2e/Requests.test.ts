/** Requests as they come: all answers of a run, hostile input, who may call, and the bounds. */

import { readdirSync, rmSync, statSync, writeFileSync } from "node:fs"
import { connect } from "node:net"
import { networkInterfaces } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { until } from "../support/Until.ts"
import { cleanUp, curl, events, nodes, prepare, type Relay, raw, start } from "./support/Program.ts"

afterAll(cleanUp)

const own = (hostname: string) => ({ hostname, "policy-server": "root" })

describe("a run is answered", () => {
  let relay: Relay
  beforeAll(async () => {
    relay = await start({
      nodes: {
        a: own("a"),
        b: own("b"),
        fails: own("fails"),
        bad: own("-oProxyCommand=x"),
        comma: own("a,b")
      },
      agent:
        'echo "1 of $host"; sleep 0.2; echo "2 of $host"; echo "on stderr" >&2; [ "$host" = fails ] && exit 3; exit 0'
    })
  })

  it("node by node with async=no, output=keep", async () => {
    const { body } = await curl(`${relay.url}/remote-run/nodes?nodes=a,b,fails,ghost&output=keep`)
    const shape = body
      .trimEnd()
      .split("\n")
      .map((line) => (line.startsWith("{") ? JSON.parse(line) : line))
    expect(shape[0]).toMatchObject({
      event: "run",
      nodes: ["a", "b", "fails"],
      unknown: ["ghost"],
      classes: []
    })
    expect(shape.at(-1)).toMatchObject({ event: "done", ok: 2, failed: 1 })
    for (let at = 1; at < shape.length - 1; at += 4) {
      const { node } = shape[at]
      expect(shape[at]).toEqual({ event: "start", node, hostname: node })
      expect(shape.slice(at + 1, at + 3)).toEqual([`${node}:1 of ${node}`, `${node}:2 of ${node}`])
      expect(shape[at + 3]).toMatchObject({
        event: "end",
        node,
        code: node === "fails" ? 3 : 0,
        stderr: "on stderr\n"
      })
      expect(shape[at + 3].duration).toBeGreaterThan(0)
    }
    expect(shape.length).toBe(14)
  })

  it("without lines with async=no, output=discard", async () => {
    const { body } = await curl(`${relay.url}/remote-run/nodes?nodes=a,b`)
    expect(
      body
        .trimEnd()
        .split("\n")
        .every((line) => line.startsWith("{"))
    ).toBe(true)
    expect(events(body).map(({ event }) => event)).toEqual(["run", "start", "end", "start", "end", "done"])
  })

  it("live with async=yes, output=keep", async () => {
    const { body } = await curl(
      "-d",
      "nodes=a,b",
      "-d",
      "async=yes&output=keep",
      `${relay.url}/remote-run/nodes`
    )
    const lines = body
      .trimEnd()
      .split("\n")
      .filter((line) => !line.startsWith("{"))
    // Both print their first line long before either prints its second.
    expect(lines.slice(0, 2).sort()).toEqual(["a:1 of a", "b:1 of b"])
    expect(lines.slice(2).sort()).toEqual(["a:2 of a", "b:2 of b"])
  })

  it("at once with async=yes, output=discard, and goes on", async () => {
    const { status, body } = await curl("-d", "async=yes", `${relay.url}/remote-run/node/a`)
    expect(status).toBe(202)
    const [run] = events(body)
    expect(run).toMatchObject({ event: "run", nodes: ["a"] })
    await until("it is over", async () =>
      JSON.parse((await curl(`${relay.url}/remote-run/runs/${run?.id}`)).body).ok === 1 ? true : undefined
    )
  })

  it("in raw: the bytes of stdout, node by node, and nothing else", async () => {
    const { body } = await curl(`${relay.url}/remote-run/nodes?nodes=a,b&output=keep&format=raw`)
    expect([`1 of a\n2 of a\n1 of b\n2 of b\n`, `1 of b\n2 of b\n1 of a\n2 of a\n`]).toContain(body)
  })

  it("with the node's end where its hostname can't be used; it is given to nobody", async () => {
    const { body } = await curl(`${relay.url}/remote-run/nodes?nodes=bad,comma&output=keep`)
    const all = events(body)
    expect(all.map(({ event }) => event)).toEqual(["run", "end", "end", "done"])
    for (const end of all.slice(1, 3))
      expect(end).toMatchObject({ code: null, error: { _tag: "AgentError" } })
    expect(all.at(-1)).toMatchObject({ ok: 0, failed: 2 })
  })

  it("once more from the history: in every format, and as server-sent events that resume", async () => {
    const first = await curl(`${relay.url}/remote-run/nodes?nodes=a&output=keep&format=ndjson`)
    const [{ id } = {}] = events(first.body)
    const output = `${relay.url}/remote-run/runs/${id}/output`
    expect((await curl(`${output}?format=ndjson`)).body).toBe(first.body)
    expect((await curl(`${output}?format=raw`)).body).toBe("1 of a\n2 of a\n")
    expect((await curl(output)).body).toContain("\na:2 of a\n")
    const sse = (await curl("-H", "Accept: text/event-stream", output)).body
    const items = sse
      .trim()
      .split("\n\n")
      .map((item) => /^id: (\d+)\ndata: (.+)$/.exec(item))
    expect(items.map((item) => item?.[2])).toEqual(first.body.trim().split("\n"))
    const middle = items[2]?.[1] ?? ""
    const rest = (await curl("-H", `Last-Event-ID: ${middle}`, `${output}?format=sse`)).body
    expect(rest.trim().split("\n\n").length).toBe(items.length - 3)
    const last = items.at(-1)?.[1] ?? ""
    expect((await curl("-H", `Last-Event-ID: ${last}`, `${output}?format=sse`)).status).toBe(204)
    const { body } = await curl(`${relay.url}/remote-run/runs/${id}`)
    expect(JSON.parse(body)).toMatchObject({
      id,
      output: "keep",
      classes: [],
      nodes: 1,
      running: 0,
      ok: 1,
      failed: 0,
      states: [{ node: "a", state: "ended", code: 0, stderr: "on stderr\n" }]
    })
  })

  it.each(["output=keep", "output=keep&async=yes", "output=discard&async=yes"])(
    "before what can't be read behind it on its connection is, and whole: %s",
    async (how) => {
      const isLeft = how.startsWith("output=discard")
      const path = `/rudder/relay-api/remote-run/nodes?nodes=a&${how}`
      const head = `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n`
      const answer = await raw(relay, `${head}no request\r\n\r\n`)
      const [, first = "", second = ""] = answer.split("HTTP/1.1 ")
      expect([first.slice(0, 3), second.slice(0, 3)]).toEqual([isLeft ? "202" : "200", "400"])
      expect(first).toContain(isLeft ? '"event":"run"' : '"event":"done"')
      expect(second).toContain('"_tag":"InvalidRequest"')
    }
  )

  it("page by page in the list", async () => {
    const first = JSON.parse((await curl(`${relay.url}/remote-run/runs?limit=2`)).body)
    expect(first.runs.length).toBe(2)
    const second = JSON.parse((await curl(`${relay.url}/remote-run/runs?limit=2&before=${first.next}`)).body)
    expect(second.runs[0].id < first.runs[1].id).toBe(true)
    expect((await curl(`${relay.url}/remote-run/runs?limit=0`)).status).toBe(400)
    expect((await curl(`${relay.url}/remote-run/runs?before=x`)).status).toBe(400)
  })

  it("though the command is not there any more: every node gets its end", async () => {
    const directory = prepare({ nodes: nodes(3) })
    const command = join(directory, "rudder-that-goes")
    writeFileSync(command, "#!/bin/sh\n", { mode: 0o755 })
    const broken = await start({ directory, nodes: nodes(3), config: { remote_run: { command } } })
    rmSync(command)
    const all = events((await curl(`${broken.url}/remote-run/all?output=keep`)).body)
    const ends = all.filter(({ event }) => event === "end")
    expect(ends.length).toBe(3)
    for (const end of ends) expect(end).toMatchObject({ code: null, error: { _tag: "AgentError" } })
    expect(all.at(-1)).toMatchObject({ event: "done", ok: 0, failed: 3 })
  })

  it.each([
    ["/remote-run/all?async=maybe", 400, "InvalidRequest"],
    ["/remote-run/all?classes=a%3Btouch%20/tmp/x", 400, "InvalidRequest"],
    ["/remote-run/all?classes=%24(id)", 400, "InvalidRequest"],
    ["/remote-run/all?classes=a%00", 400, "InvalidRequest"],
    ["/remote-run/node/a%2fb", 400, "InvalidRequest"],
    ["/remote-run/node/%2e%2e", 400, "InvalidRequest"],
    ["/remote-run/node/%00", 400, "InvalidRequest"],
    ["/remote-run/node/%zz", 400, "InvalidRequest"],
    ["/remote-run/node/..", 400, "InvalidRequest"],
    ["/remote-run/nodes", 400, "InvalidRequest"],
    ["/remote-run/nodes?nodes=,", 400, "InvalidRequest"],
    ["/remote-run/nodes?nodes=a;b", 400, "InvalidRequest"],
    ["/remote-run/node/ghost", 404, "UnknownTarget"],
    ["/remote-run/node/__proto__", 404, "UnknownTarget"],
    [`/remote-run/node/${"x".repeat(150)}`, 404, "UnknownTarget"],
    ["/remote-run/runs/ghost", 404, "RunNotFound"],
    ["/remote-run/runs/01a20d54-836a-7368-b7bc-2af3b65e2f3e", 404, "RunNotFound"],
    ["/remote-run/runs/..%2f..%2fmain.conf", 404, "RunNotFound"],
    ["/remote-run/ALL", 404, "NotFound"],
    ["/remote-run/all/", 404, "NotFound"],
    ["//remote-run/all", 404, "NotFound"],
    ["/", 404, "NotFound"],
    ["/nothing", 404, "NotFound"]
  ])("not at all: %s is %i %s", async (path, status, tag) => {
    const before = readdirSync(join(relay.directory, "runs")).length
    const answer = await curl("--path-as-is", `${relay.url}${path}`)
    expect(answer.status).toBe(status)
    expect(JSON.parse(answer.body)._tag).toBe(tag)
    expect(JSON.parse(answer.body).message).toBeTypeOf("string")
    expect(readdirSync(join(relay.directory, "runs")).length).toBe(before)
  })

  it("by another method with 405, HEAD included: nothing is run", async () => {
    const count = async () =>
      JSON.parse((await curl(`${relay.url}/remote-run/runs?limit=1000`)).body).runs.length
    const before = await count()
    expect((await curl("-I", `${relay.url}/remote-run/all`)).status).toBe(405)
    expect((await curl("-I", `${relay.url}/remote-run/node/a`)).status).toBe(405)
    expect((await curl("-X", "PUT", `${relay.url}/remote-run/all`)).status).toBe(405)
    expect((await curl("-X", "GET", `${relay.url}/remote-run/nodes/a`)).status).toBe(405)
    expect((await curl(`${relay.url}/system/reload`)).status).toBe(405)
    expect(await count()).toBe(before)
  })
})

describe("who may call", () => {
  const address = Object.values(networkInterfaces())
    .flat()
    .find((found) => found?.family === "IPv4" && !found.internal)?.address

  it("is told by the address of the peer", async () => {
    // Loopback has addresses enough to be two callers.
    const relay = await start({
      nodes: nodes(1),
      config: {
        access: { policy_server: ["127.0.0.2"], admin: ["127.0.0.3"], trusted_proxies: ["127.0.0.4"] }
      }
    })
    const from = (source: string, path: string, ...more: ReadonlyArray<string>) =>
      curl("--interface", source, ...more, `${relay.url}${path}`).then(({ status }) => status)
    expect(await from("127.0.0.2", "/remote-run/node/n0")).toBe(200)
    expect(await from("127.0.0.1", "/remote-run/node/n0")).toBe(403)
    expect(await from("127.0.0.3", "/remote-run/node/n0")).toBe(403)
    expect(await from("127.0.0.3", "/system/info")).toBe(200)
    expect(await from("127.0.0.2", "/system/info")).toBe(403)
    const forwarded = (list: string) => ["-H", `X-Forwarded-For: ${list}`]
    expect(await from("127.0.0.4", "/remote-run/node/n0", ...forwarded("127.0.0.2"))).toBe(200)
    expect(await from("127.0.0.4", "/remote-run/node/n0", ...forwarded("127.0.0.2, 127.0.0.1"))).toBe(403)
    expect(await from("127.0.0.1", "/remote-run/node/n0", ...forwarded("127.0.0.2"))).toBe(403)
    await expect.poll(() => relay.log()).toMatch(/address=127\.0\.0\.1/)
    await expect.poll(() => relay.log()).toMatch(/key=access\.policy_server/)
  })

  it("is a matter of addresses on IPv6 and of names too", async () => {
    const relay = await start({
      nodes: nodes(1),
      config: { general: { listen: "[::]:0" }, access: { policy_server: ["localhost", "::1"] } }
    })
    for (const host of ["127.0.0.1", "[::1]"])
      expect((await curl(`http://${host}:${relay.port}/rudder/relay-api/remote-run/node/n0`)).status).toBe(
        200
      )
    if (address !== undefined)
      expect((await curl(`http://${address}:${relay.port}/rudder/relay-api/remote-run/node/n0`)).status).toBe(
        403
      )
  })

  it.each([
    [["Origin: https://evil.example"], 403],
    [["Origin: null"], 403],
    [["Sec-Fetch-Site: cross-site"], 403],
    [["Sec-Fetch-Site: same-site"], 403],
    [["Host: evil.example"], 403],
    [["Host: relay.example"], 200],
    [["Host: localhost"], 200],
    [["Sec-Fetch-Site: none"], 200]
  ])("is no other site's page: %j is %i", async (headers, status) => {
    const relay = await start({ nodes: nodes(1), config: { access: { hosts: ["relay.example"] } } })
    const args = headers.flatMap((header) => ["-H", header])
    expect((await curl(...args, "-d", "async=no", `${relay.url}/remote-run/node/n0`)).status).toBe(status)
    expect((await curl(...args, `${relay.url}/remote-run/node/n0`)).status).toBe(status)
    await relay.stop()
  })
})

describe("what HTTP asks for", () => {
  it("a host is missed as everything else is, with an id and a line; HTTP/1.0 has none", async () => {
    const relay = await start()
    const line = "POST /rudder/relay-api/system/reload HTTP"
    const answer = await raw(relay, `${line}/1.1\r\nConnection: close\r\n\r\n`)
    expect(answer).toMatch(/^HTTP\/1\.1 400 [\s\S]*"parameter":"Host"/)
    const id = /^x-request-id: (\S+)/im.exec(answer)?.[1] ?? "no id"
    await until("its line", () => relay.log().includes(id) || undefined)
    expect(await raw(relay, `${line}/1.0\r\n\r\n`)).toMatch(/^HTTP\/1\.1 200 /)
  })

  it("HTTP/1.0 has no answer before the answer", async () => {
    const relay = await start({ nodes: nodes(1) })
    const form = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 8\r\n\r\nnodes=n0"
    const head = "POST /rudder/relay-api/remote-run/nodes HTTP/1.0\r\nExpect: 100-continue\r\n"
    expect(await raw(relay, `${head}${form}`)).toMatch(/^HTTP\/1\.1 200 /)
  })

  it("a body that can't be read is one refusal, under the id that its answer has", async () => {
    const relay = await start({ nodes: nodes(1) })
    const head =
      "POST /rudder/relay-api/remote-run/nodes HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n" +
      "Content-Type: application/x-www-form-urlencoded\r\n\r\n"
    const answer = await raw(relay, `${head}3\r\nabc\r\nno size\r\n`)
    expect(answer).toMatch(/^HTTP\/1\.1 400 [\s\S]*cut short/)
    const id = /^x-request-id: (\S+)/im.exec(answer)?.[1] ?? "no id"
    const told = await until("its line", () => {
      const lines = relay
        .log()
        .split("\n")
        .filter((line) => line.includes("request="))
      return lines.length > 0 ? lines : undefined
    })
    expect(told).toEqual([expect.stringContaining(`request=${id}`)])
  })
})

describe("a bound", () => {
  it("remote_run.enabled = false: every remote-run route is 404", async () => {
    const relay = await start({ nodes: nodes(1), config: { remote_run: { enabled: false } } })
    for (const path of ["all", "node/n0", "runs"])
      expect((await curl(`${relay.url}/remote-run/${path}`)).status).toBe(404)
    expect((await curl(`${relay.url}/system/info`)).status).toBe(200)
  })

  it("limits.headers_timeout ends who does not finish asking", async () => {
    const relay = await start({ config: { limits: { headers_timeout: "1s" } } })
    const answer = await raw(relay, "GET /rudder/relay-api/system/info HTTP/1.1\r\nHost: localhost\r\n")
    expect(answer).toMatch(/^HTTP\/1\.1 408 /)
  })

  it("limits.max_header_size", async () => {
    const relay = await start({ config: { limits: { max_header_size: "2KiB" } } })
    expect((await curl("-H", `X: ${"x".repeat(1000)}`, `${relay.url}/system/info`)).status).toBe(200)
    expect((await curl("-H", `X: ${"x".repeat(3000)}`, `${relay.url}/system/info`)).status).toBe(431)
  })

  it("limits.max_connections", async () => {
    const relay = await start({ config: { limits: { max_connections: 2 } } })
    const open = await Promise.all(
      [1, 2].map(
        () =>
          new Promise<ReturnType<typeof connect>>((resolve) => {
            const socket = connect(relay.port, "127.0.0.1", () => resolve(socket))
            socket.on("error", () => {})
          })
      )
    )
    await until("a third is refused", async () =>
      (await curl(`${relay.url}/system/info`)).status === 0 ? true : undefined
    )
    for (const socket of open) socket.destroy()
    await until("there is room again", async () =>
      (await curl(`${relay.url}/system/info`)).status === 200 ? true : undefined
    )
  })

  it("limits.body_idle_timeout ends a form that stops coming", async () => {
    const relay = await start({ nodes: nodes(1), config: { limits: { body_idle_timeout: "500ms" } } })
    const head =
      "POST /rudder/relay-api/remote-run/all HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    expect(await raw(relay, `${head}Content-Length: 100\r\n\r\nasync=`)).toMatch(
      /^HTTP\/1\.1 408 [\s\S]*body_idle_timeout/
    )
  })

  it("a form is at most 1 MiB, and nothing else", async () => {
    const relay = await start({ nodes: nodes(1) })
    const file = join(relay.directory, "form")
    writeFileSync(file, `nodes=n0&classes=&x=${"x".repeat(1024 * 1024)}`)
    expect((await curl("--data-binary", `@${file}`, `${relay.url}/remote-run/nodes`)).status).toBe(413)
    expect(
      (
        await curl(
          "-H",
          "Transfer-Encoding: chunked",
          "--data-binary",
          `@${file}`,
          `${relay.url}/remote-run/nodes`
        )
      ).status
    ).toBe(413)
    const other = await curl(
      "-H",
      "Content-Type: application/json",
      "-d",
      "{}",
      `${relay.url}/remote-run/all`
    )
    expect(other.status).toBe(400)
    expect(
      (await curl("-H", "Expect: 100-continue", "-d", "nodes=n0", `${relay.url}/remote-run/nodes`)).status
    ).toBe(200)
  })

  it("remote_run.output_limit: what comes after is counted, not kept", async () => {
    const relay = await start({
      nodes: nodes(1),
      agent: "yes 0123456789 | head -c 2000000",
      config: { remote_run: { output_limit: "64KiB" } }
    })
    const { body } = await curl(`${relay.url}/remote-run/node/n0?output=keep&format=ndjson`)
    expect(events(body).find(({ event }) => event === "end")).toMatchObject({
      code: 0,
      truncated: true,
      dropped: 2_000_000 - 65_536
    })
    const id = events(body)[0]?.id
    expect((await curl(`${relay.url}/remote-run/runs/${id}/output?format=raw`)).body.length).toBe(65_536)
  })

  it("remote_run.max_size and retention: the oldest runs go first", async () => {
    const relay = await start({
      nodes: nodes(1),
      agent: "head -c 300000 /dev/zero | tr '\\0' x",
      config: { remote_run: { max_size: "1MiB" } }
    })
    const ids: Array<unknown> = []
    for (let i = 0; i < 5; i++)
      ids.unshift(events((await curl(`${relay.url}/remote-run/node/n0?output=keep`)).body)[0]?.id)
    const kept = async () =>
      JSON.parse((await curl(`${relay.url}/remote-run/runs`)).body).runs.map(({ id }: { id: string }) => id)
    await until("the history is within its size", async () => ((await kept()).length <= 3 ? true : undefined))
    expect(ids.slice(0, 3)).toEqual(await kept())
    await relay.stop()
    const later = await start({
      directory: relay.directory,
      nodes: nodes(1),
      config: { remote_run: { retention: "1ms" } }
    })
    await until("nothing is past its retention", async () =>
      JSON.parse((await curl(`${later.url}/remote-run/runs`)).body).runs.length === 0 ? true : undefined
    )
  })
})

describe("on the disk", () => {
  it("runs are their owner's alone", async () => {
    const relay = await start({ nodes: nodes(1) })
    await curl(`${relay.url}/remote-run/all?output=keep`)
    const runs = join(relay.directory, "runs")
    expect(statSync(runs).mode & 0o777).toBe(0o700)
    const [folder = ""] = readdirSync(runs)
    expect(statSync(join(runs, folder)).mode & 0o777).toBe(0o700)
    const [file = ""] = readdirSync(join(runs, folder))
    expect(statSync(join(runs, folder, file)).mode & 0o777).toBe(0o600)
  })

  it("a history that can't be written stops no run", async () => {
    const relay = await start({ nodes: nodes(2), agent: "echo hello" })
    // Below a file there can be no folder.
    rmSync(join(relay.directory, "runs"), { recursive: true })
    writeFileSync(join(relay.directory, "runs"), "")
    const { status, body } = await curl(`${relay.url}/remote-run/all?output=keep`)
    expect(status).toBe(200)
    expect(
      events(body)
        .map(({ event }) => event)
        .sort()
    ).toEqual(["done", "end", "end", "run", "start", "start"])
    expect(events(body).find(({ event }) => event === "end")).toMatchObject({ code: 0 })
    expect(body).toContain("n0:hello")
    expect((await curl(`${relay.url}/system/status`)).body).toContain('"storage":{"status":"error"')
  })
})

describe("output of every kind", () => {
  it("goes through unchanged: long lines, none at all, no UTF-8, no last newline", async () => {
    const relay = await start({
      nodes: nodes(1),
      agent: "head -c 300000 /dev/zero | tr '\\0' y; echo; printf '\\377\\000\\n'; printf 'no newline'"
    })
    const response = await fetch(`${relay.url}/remote-run/node/n0?output=keep&format=raw`)
    const bytes = Buffer.from(await response.arrayBuffer())
    const expected = Buffer.concat([
      Buffer.alloc(300_000, "y"),
      Buffer.from("\n"),
      Buffer.from([0xff, 0, 0x0a]),
      Buffer.from("no newline")
    ])
    expect(bytes.equals(expected)).toBe(true)
    const { body } = await curl(`${relay.url}/remote-run/node/n0?output=keep&format=ndjson`)
    const lines = events(body).filter(({ event }) => event === "output")
    expect(lines.filter(({ partial }) => partial === true).length).toBe(4)
    expect(lines.map(({ line }) => String(line).length)).toEqual([
      65_536, 65_536, 65_536, 65_536, 37_856, 2, 10
    ])
    expect(lines[5]).toMatchObject({ base64: "/wA=", line: "\uFFFD\0" })
  })
})
