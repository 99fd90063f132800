/** The package in other people's programs: installed from what npm packs, at both ends of what its peers may be. */
import { type ChildProcess, spawn } from "node:child_process"
import { createHash, generateKeyPairSync } from "node:crypto"
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { build } from "esbuild"
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest"
import { until } from "../support/Until.ts"
import { type Identity, makeIdentity, removeIdentities } from "./support/Identities.ts"
import { cleanUp, type Ended, nodes, prepare, start } from "./support/Program.ts"

const top = fileURLToPath(new URL("../..", import.meta.url))
const { peerDependencies } = JSON.parse(readFileSync(join(top, "package.json"), "utf8"))
const work = mkdtempSync(join(tmpdir(), "rudder-relay-embedding-"))
const newest = join(work, "newest")
const lowest = join(work, "lowest")
let packed = ""

/** A command in a folder; its output is this test's when it fails. */
const run = (
  directory: string,
  program: string,
  args: ReadonlyArray<string>,
  env: NodeJS.ProcessEnv = {}
): Promise<Ended> =>
  new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: directory,
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...env }
    })
    let stdout = ""
    let stderr = ""
    child.stdout.on("data", (bytes) => {
      stdout += bytes
    })
    child.stderr.on("data", (bytes) => {
      stderr += bytes
    })
    child.once("error", reject)
    child.once("close", (code) => resolve({ code: code ?? -1, stdout, stderr }))
  })

const succeeding = async (...command: Parameters<typeof run>): Promise<string> => {
  const { code, stdout, stderr } = await run(...command)
  expect(code, `${command[1]} ${command[2].join(" ")}\n${stdout}${stderr}`).toBe(0)
  return stdout
}

/** Both ends of a range such as `>=3.22.0 <4`, as npm takes them. */
const ends = (range: string) => {
  const [, least = ""] = /^>=(\S+) </.exec(range) ?? []
  return { lowest: least, newest: range }
}

const install = (directory: string, ...packages: ReadonlyArray<string>) =>
  succeeding(directory, "npm", [
    ...["install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
    ...packages
  ])

const strict = {
  compilerOptions: {
    target: "ES2023",
    lib: ["ES2023", "DOM"],
    module: "NodeNext",
    moduleResolution: "NodeNext",
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    skipLibCheck: false,
    types: ["node"],
    rootDir: ".",
    outDir: "out"
  },
  include: ["*.ts"]
}

/** An empty folder with the package in it, and the examples of the package, compiled. */
const embed = async (directory: string, end: "lowest" | "newest"): Promise<void> => {
  mkdirSync(directory)
  writeFileSync(
    join(directory, "package.json"),
    JSON.stringify({ name: "program", private: true, type: "module" })
  )
  const peers = Object.entries<string>(peerDependencies).map(([name, range]) => `${name}@${ends(range)[end]}`)
  await install(directory, packed, ...peers, "@types/node@20.19.43", "@types/ws@8.18.1")
  const examples = join(directory, "node_modules/rudder-relay/docs/examples")
  for (const name of readdirSync(examples)) cpSync(join(examples, name), join(directory, name))
  writeFileSync(join(directory, "tsconfig.json"), JSON.stringify(strict))
  await succeeding(directory, join(top, "node_modules/.bin/tsc"), ["-p", "."])
}

beforeAll(async () => {
  const [{ filename }] = JSON.parse(
    await succeeding(top, "npm", ["pack", "--ignore-scripts", "--json", "--pack-destination", work])
  )
  packed = join(work, filename)
  await embed(newest, "newest")
}, 600_000)

const started = new Set<ChildProcess>()
afterEach(async () => {
  for (const child of started) child.kill("SIGKILL")
  started.clear()
  await cleanUp()
})
afterAll(() => {
  removeIdentities()
  rmSync(work, { recursive: true, force: true })
})

const key = generateKeyPairSync("rsa", { modulusLength: 2048 })
const keyHash = (): string => {
  const der = key.publicKey.export({ type: "spki", format: "der" })
  return `sha256:${createHash("sha256").update(der).digest("hex")}`
}

/** A folder with a nodes list, the key of `web`, and a file to share. */
const folderOf = (list: object): string => {
  const directory = mkdtempSync(join(work, "folder-"))
  writeFileSync(join(directory, "nodeslist.json"), JSON.stringify(list))
  writeFileSync(join(directory, "key.pem"), key.privateKey.export({ type: "pkcs8", format: "pem" }))
  writeFileSync(join(directory, "motd"), "hello\n")
  return directory
}

const kit = (directory: string) => run(directory, process.execPath, ["--test", "out/kit.test.js"])

const aFewMinutes = 600_000

describe("the package", () => {
  it("is well-formed for those who resolve it, and for their types", { timeout: aFewMinutes }, async () => {
    const tools = join(work, "tools")
    mkdirSync(tools)
    writeFileSync(join(tools, "package.json"), "{}")
    await install(tools, "publint@0.3.25", "@arethetypeswrong/cli@0.18.5")
    const publint = await succeeding(tools, "npx", ["publint", "--strict", packed])
    expect(publint).toContain("All good!")
    await succeeding(tools, "npx", ["attw", "--profile", "esm-only", packed])
  })

  it("has one copy of effect beside it, and nothing of the command line's", {
    timeout: aFewMinutes
  }, async () => {
    const listed = await succeeding(newest, "npm", ["ls", "effect", "--all", "--json"])
    const versions = new Set(
      [...listed.matchAll(/"effect": \{\s*"version": "([^"]+)"/g)].map(([, one]) => one)
    )
    expect(versions.size).toBe(1)
    const copies = readdirSync(join(newest, "node_modules"), { recursive: true, encoding: "utf8" }).filter(
      (path) => /(^|\/node_modules\/)effect\/package\.json$/.test(path)
    )
    expect(copies).toEqual(["effect/package.json"])
    for (const name of ["@effect/cli", "@effect/printer", "memfs", "@effect/opentelemetry"])
      expect(existsSync(join(newest, "node_modules", name))).toBe(false)
    const size = async (path: string) => (await succeeding(newest, "du", ["-sh", path])).split("\t")[0]
    console.log(
      `installed: ${await size("node_modules")}, of it rudder-relay ${await size("node_modules/rudder-relay")}`
    )
  })

  it("works with the lowest of what its peers may be", { timeout: aFewMinutes }, async () => {
    await embed(lowest, "lowest")
    const { version } = JSON.parse(readFileSync(join(lowest, "node_modules/effect/package.json"), "utf8"))
    expect(version).toBe(ends(peerDependencies.effect).lowest)
    expect(await kit(lowest)).toMatchObject({ code: 0 })
  })

  it("runs agents, stores and hashes in a program that is bundled into one file", async () => {
    const directory = mkdtempSync(join(work, "bundled-"))
    const source = join(newest, "bundled.mjs")
    cpSync(join(top, "test/e2e/support/bundledProgram.mjs"), source)
    const outfile = join(directory, "program.mjs")
    const banner =
      "import{createRequire as $require}from'node:module';const require=$require(import.meta.url);"
    await build({
      entryPoints: [source],
      outfile,
      bundle: true,
      platform: "node",
      format: "esm",
      banner: { js: banner },
      logLevel: "error"
    })
    const agent = join(directory, "agent")
    writeFileSync(agent, "#!/bin/sh\necho an agent of $4\n", { mode: 0o755 })
    const printed = await succeeding(directory, process.execPath, [outfile, directory, agent])
    expect(printed).toMatch(/^an agent of web$/m)
    expect(printed).toMatch(/^stored$/m)
    // Of a mebibyte of zeros, which is hashed on the thread.
    expect(printed).toContain("30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58")
  })
})

describe("the examples", () => {
  it("serve a relay beside their own routes, and call it", async () => {
    const directory = folderOf({
      root: { hostname: "root.example.com", "policy-server": "root" },
      web: { hostname: "web.example.com", "policy-server": "root", "key-hash": keyHash() },
      db: { hostname: "broken.example.com", "policy-server": "root" }
    })
    const server = spawn(process.execPath, ["out/server.js", directory, "0"], { cwd: newest })
    started.add(server)
    let log = ""
    for (const output of [server.stdout, server.stderr])
      output.on("data", (bytes) => {
        log += bytes
      })
    const url = await until("it listens", () => /listening on (http:\S+)/.exec(log)?.[1])
    expect(await (await fetch(`${url}/mine`)).text()).toBe("my own route")
    expect(await (await fetch(`${url}/metrics`)).text()).toContain("rudder_relay")
    const file = join(directory, "motd")
    const calls = ["out/client.js", url, "web,db", file, "web", "db", join(directory, "key.pem")]
    expect((await succeeding(newest, process.execPath, calls)).trim().split("\n")).toEqual([
      expect.stringMatching(/^(web: 1 lines, ok|db: 1 lines, code 1)$/),
      expect.stringMatching(/^(web: 1 lines, ok|db: 1 lines, code 1)$/),
      "motd: stored"
    ])
    expect(await succeeding(newest, process.execPath, calls)).toContain("motd: present")
    const ended = new Promise((resolve) => server.once("exit", resolve))
    const run = await fetch(`${url}/rudder/relay-api/remote-run/all`)
    server.kill("SIGTERM")
    // What goes on is told to its end, to who is there; who comes now is not let in, and keeps nobody.
    expect(await run.text()).toMatch(/\{"event":"done",[^\n]*\n$/)
    expect(await ended).toBe(0)
    await expect(fetch(`${url}/mine`)).rejects.toThrow()
  })

  it("call the daemon over TLS, known by a certificate", async () => {
    const [relayIdentity, caller]: ReadonlyArray<Identity> = await Promise.all([
      makeIdentity("root"),
      makeIdentity("root")
    ])
    if (relayIdentity === undefined || caller === undefined) throw new Error("no certificates")
    const list = {
      ...nodes(2),
      web: { hostname: "web.example.com", "policy-server": "root", "key-hash": keyHash() }
    }
    const relay = await start({
      directory: prepare(),
      nodes: list,
      agent: "echo one; echo two",
      config: {
        tls: { certificate: relayIdentity.certificate, key: relayIdentity.key },
        // No address may: the key alone lets the caller in.
        access: { policy_server: [], policy_server_key_hash: [caller.keyHash] }
      }
    })
    const directory = folderOf({})
    const url = `https://127.0.0.1:${relay.port}`
    const calls = [
      "out/client.js",
      url,
      "n0,n1",
      join(directory, "motd"),
      "web",
      "n0",
      join(directory, "key.pem")
    ]
    const known = { RELAY_CERT: relayIdentity.certificate }
    const printed = await succeeding(newest, process.execPath, calls, {
      ...known,
      CLIENT_CERT: caller.certificate,
      CLIENT_KEY: caller.key
    })
    expect(printed.split("\n").toSorted()).toEqual(["", "motd: stored", "n0: 2 lines, ok", "n1: 2 lines, ok"])
    const nobody = await run(newest, process.execPath, calls, known)
    expect(nobody.code).not.toBe(0)
    expect(nobody.stdout + nobody.stderr).toContain("AccessDenied")
    const another = await run(newest, process.execPath, calls, { RELAY_CERT: caller.certificate })
    expect(another.code).not.toBe(0)
    expect(another.stdout + another.stderr).toContain("RelayUnreachable")
  })

  it("test with the kit, and find what is broken", async () => {
    const lines = readFileSync(join(newest, "kit.test.ts"), "utf8").trim().split("\n")
    expect(lines.filter((line) => !/^import |^\/\*\*|^$/.test(line)).length).toBeLessThanOrEqual(30)
    expect(await kit(newest)).toMatchObject({ code: 0 })
    const dist = join(newest, "node_modules/rudder-relay/dist")
    const breakings = [
      ["a node whose agent fails", /outcome\.code === 0\) return "ok"/, 'true) return "ok"'],
      ["a file that was acknowledged", /node\.fsync\(file, (done\d*)\)/, "$1(null)"]
    ] as const
    for (const [test, whole, broken] of breakings) {
      const found = readdirSync(dist)
        .filter((name) => /^(index|testing|chunk-.*)\.js$/.test(name))
        .map((name) => join(dist, name))
        .filter((path) => whole.test(readFileSync(path, "utf8")))
      expect(found).toHaveLength(1)
      const [path = ""] = found
      const text = readFileSync(path, "utf8")
      writeFileSync(path, text.replace(whole, broken))
      const { code, stdout } = await kit(newest)
      writeFileSync(path, text)
      expect(code).not.toBe(0)
      expect(stdout.match(/^not ok .*$/gm)).toEqual([expect.stringContaining(test)])
    }
  })
})
