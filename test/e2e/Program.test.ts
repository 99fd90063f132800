/** The program from the command line: its commands, exit codes and signals. */
import { spawn } from "node:child_process"
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, describe, expect, it } from "vitest"
import { until } from "../support/Until.ts"
import {
  cleanUp,
  command,
  curl,
  main,
  nodes,
  prepare,
  program,
  start,
  writeNodes
} from "./support/Program.ts"

const folders: Array<string> = []

afterEach(async () => {
  await cleanUp()
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

describe("rudder-relay", () => {
  it("tells its version and its commands", async () => {
    expect((await program("--version")).stdout).toMatch(/^\d+\.\d+\.\d+\s*$/)
    const help = await program("--help")
    expect(help.code).toBe(0)
    for (const command of ["serve", "check", "sandbox"]) expect(help.stdout).toContain(command)
    expect((await program("--completions", "bash")).stdout).toContain("complete")
  })

  it("says what is wrong with a command line, and exits with 2", async () => {
    const { code, stdout, stderr } = await program("serv")
    expect(code).toBe(2)
    expect(stdout + stderr).toContain("serve")
    expect((await program("serve", "--config")).code).toBe(2)
  })
})

describe("check", () => {
  it("accepts what is valid, and says what it warns of", async () => {
    const directory = prepare({ nodes: { ...nodes(1), "a/b": { hostname: "x", "policy-server": "root" } } })
    const { code, stdout, stderr } = await program("check", "--config", directory)
    expect(code).toBe(0)
    expect(stdout).toContain("valid")
    expect(stderr).toContain(`1 entries of ${directory}/nodeslist.json can't be used: a/b`)
  })

  it("says all that is wrong, and exits with 2, as serve does", async () => {
    const directory = prepare({
      mainConf: () => '[general]\nnode_id = "root"\nlisten = 1\n[remote_run]\ntimeout = "never"\n'
    })
    for (const command of ["check", "serve"]) {
      const { code, stderr } = await program(command, "--config", directory)
      expect(code).toBe(2)
      expect(stderr).toContain(`${directory}/main.conf: general.listen: expected`)
      expect(stderr).toContain(`${directory}/main.conf: remote_run.timeout: expected`)
    }
    expect((await program("check", "--config", "/nonexistent")).code).toBe(2)
  })

  it("does not accept a list that does not parse, or a certificate that is not there", async () => {
    const directory = prepare({
      config: { tls: { certificate: "/nonexistent.pem", key: "/nonexistent.pem" } }
    })
    writeNodes(directory, "{")
    const { code, stderr } = await program("check", "--config", directory)
    expect(code).toBe(2)
    expect(stderr).toContain("general.nodes_list_file")
    expect(stderr).toContain("tls.key")
  })

  it("refuses where someone relies on reports or inventories, as serve does", async () => {
    const config = { "processing.reporting": { output: "database" } }
    const directory = prepare({ config })
    for (const command of ["check", "serve"]) {
      const { code, stderr } = await program(command, "--config", directory)
      expect(code).toBe(2)
      expect(stderr).toContain("general.ignore_processing = true")
    }
    const ignoring = prepare({ config: { ...config, general: { ignore_processing: true } } })
    expect((await program("check", "--config", ignoring)).code).toBe(0)
  })
})

describe("serve", () => {
  it("exits with 3 when it can't listen, or has no pair of certificate and key", async () => {
    const server = createServer().listen(0, "127.0.0.1")
    await until("listening", () => server.listening)
    const address = server.address()
    const port = typeof address === "object" ? address?.port : undefined
    const busy = await program(
      "serve",
      "--config",
      prepare({ config: { general: { listen: `127.0.0.1:${port}` } } })
    )
    expect(busy.code).toBe(3)
    expect(busy.stderr).toContain("EADDRINUSE")
    server.close()
    const directory = prepare()
    writeFileSync(join(directory, "key.pem"), "no key")
    const pem = join(directory, "key.pem")
    prepare({ directory, config: { tls: { certificate: pem, key: pem } } })
    expect((await program("serve", "--config", directory)).code).toBe(3)
  })

  it("takes a replaced nodes list by itself within 2 s, and names unknown keys", async () => {
    const relay = await start({ nodes: nodes(1), config: { general: { colour: "red" } } })
    await expect.poll(() => relay.log()).toContain("general.colour")
    writeNodes(relay.directory, nodes(2))
    await until(
      "the new list is in force",
      async () => ((await curl(`${relay.url}/system/status`)).body.includes('"known":2') ? true : undefined),
      2
    )
  })

  it("loads the list and the log level again on SIGHUP, and lives", async () => {
    const relay = await start({ nodes: nodes(1), config: { log: { level: "info" } } })
    writeFileSync(join(relay.directory, "nodeslist.json"), JSON.stringify(nodes(3)))
    relay.kill("SIGHUP")
    await until("reloaded", () => relay.log().includes("configuration reloaded"))
    expect((await curl(`${relay.url}/system/status`)).body).toContain('"known":3')
    writeFileSync(join(relay.directory, "main.conf"), "not toml")
    relay.kill("SIGHUP")
    await until("the problem is told", () => relay.log().includes("main.conf:1"))
    expect((await curl(`${relay.url}/system/status`)).body).toContain('"configuration":{"status":"error"')
  })

  it.each(["SIGTERM", "SIGINT"] as const)("ends with 0 on %s", async (signal) => {
    const relay = await start({ nodes: nodes(1) })
    relay.kill(signal)
    expect(await relay.exited).toBe(0)
  })
})

describe("sandbox", () => {
  const play = (directory: string) => {
    const child = spawn(process.execPath, [main, "sandbox", "--directory", directory], {
      stdio: ["ignore", "pipe", "inherit"]
    })
    let shown = ""
    child.stdout.on("data", (bytes) => {
      shown += bytes
    })
    const exited = new Promise<number | null>((resolve) => child.once("exit", (code) => resolve(code)))
    return { child, exited, shown: () => shown }
  }

  it("shows a run of a dozen nodes, what to try, and works again; two side by side too", async () => {
    const directory = mkdtempSync(join(tmpdir(), "rudder-relay-e2e-"))
    folders.push(directory)
    const first = play(directory)
    const second = play(directory)
    try {
      for (const { shown } of [first, second]) {
        await until(
          "the run is over",
          () => shown().includes("curl -sI") && shown().includes('"event":"done"'),
          60
        )
        expect(shown().match(/"event":"end"/g)?.length).toBe(13)
        expect(shown()).toMatch(/"node":"attic","code":null,"timeout":true/)
        expect(shown()).toMatch(/"node":"build","code":1/)
      }
      // What it prints works when pasted.
      const pasted = /curl -sN '(\S+node\/web1\?output=keep)'/.exec(first.shown())?.[1] ?? ""
      expect((await curl(pasted)).body).toContain("web1:=> web1.example.com ended with code 0")
      expect(first.shown()).toContain('{"result":"stored"')
      const lineOf = (what: string) =>
        new RegExp(`^  (node \\S+ ${what} .*--url .*)$`, "m").exec(first.shown())?.[1] ?? ""
      const run = await command("sh", ["-c", lineOf("run")])
      expect(run.stdout).toContain("web1.example.com ended with code 0")
      const runs = await command("sh", ["-c", lineOf("runs")])
      expect([runs.code, runs.stdout.match(/^[0-9a-f]{8}/gm)?.length]).toEqual([0, 3])
      const byHand = first.shown().slice(first.shown().indexOf("To share a file by hand"))
      const { stdout } = await command("sh", ["-c", byHand.slice(byHand.indexOf("\n"))])
      expect(stdout).toMatch(/^\{"result":"stored",.*\}\nHTTP\/1\.1 200 OK/)
    } finally {
      for (const { child, exited } of [first, second]) {
        child.kill("SIGINT")
        expect(await exited).toBe(0)
      }
    }
    const again = play(directory)
    await until("it works again", () => again.shown().includes("web1:E| compliant"))
    again.child.kill("SIGTERM")
    expect(await again.exited).toBe(0)
  }, 120_000)
  it("is not played in a folder that has a relay's files", async () => {
    const directory = prepare({ nodes: nodes(1) })
    const before = readdirSync(directory).map((name) => readFileSync(join(directory, name), "utf8"))
    const { code, stderr } = await program("sandbox", "--directory", directory)
    expect(code).toBe(3)
    expect(stderr).toContain("--directory")
    expect(readdirSync(directory).map((name) => readFileSync(join(directory, name), "utf8"))).toEqual(before)
  })
})
