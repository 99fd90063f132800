/** What would keep a relay from its work is an error at its start, and for `check`: all of it at once. */
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterEach, describe, expect, it } from "vitest"
import { cleanUp, command, main, prepare, program, start } from "./support/Program.ts"

afterEach(cleanUp)

/** `check` and `serve` say the same; gives their exit codes and what they say. */
const both = async (directory: string) => {
  const checked = await program("check", "--config", directory)
  const served = await program("serve", "--config", directory)
  return { codes: [checked.code, served.code], said: [checked.stderr, served.stderr] }
}

const pairOf = async (directory: string, name: string) => {
  const key = join(directory, `${name}.key`)
  const certificate = join(directory, `${name}.pem`)
  const made = await command("openssl", [
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"],
    ...["-subj", `/CN=${name}`, "-keyout", key, "-out", certificate]
  ])
  expect(made.code).toBe(0)
  return { certificate, key }
}

describe("a command", () => {
  it.each([
    ["is a folder", (path: string) => mkdirSync(path)],
    ["is not there", () => {}],
    ["is not executable", (path: string) => writeFileSync(path, "#!/bin/sh\n", { mode: 0o644 })]
  ])("that %s is an invalid configuration", async (reason, make) => {
    const directory = prepare()
    const path = join(directory, "other")
    make(path)
    prepare({ directory, config: { remote_run: { command: path } } })
    const { codes, said } = await both(directory)
    expect(codes).toEqual([2, 2])
    for (const text of said) expect(text).toContain(`remote_run.command: ${path} ${reason}`)
  })

  it("without a slash is looked up in PATH", async () => {
    const named = (name: string) => prepare({ config: { remote_run: { command: name } } })
    expect((await program("check", "--config", named("sh"))).code).toBe(0)
    const { codes, said } = await both(named("no-such-command"))
    expect(codes).toEqual([2, 2])
    for (const text of said) expect(text).toContain('no command "no-such-command" in PATH')
  })

  it("that is never run may be anything", async () => {
    const config = { remote_run: { enabled: false, command: "/nonexistent" } }
    expect((await program("check", "--config", prepare({ config }))).code).toBe(0)
  })
})

describe("a folder", () => {
  it("that can't be made is told with who can't, whichever of the relay's it is", async () => {
    const directory = prepare()
    writeFileSync(join(directory, "file"), "")
    symlinkSync("/nonexistent/folder", join(directory, "link"))
    prepare({
      directory,
      config: {
        general: { node_id: "relay" },
        "output.upstream": { host: "127.0.0.1" },
        remote_run: { directory: join(directory, "file/runs") },
        shared_files: { path: join(directory, "link"), outbox: "/proc/outbox" }
      }
    })
    const { codes, said } = await both(directory)
    expect(codes).toEqual([2, 3])
    for (const text of said)
      for (const key of ["remote_run.directory", "shared_files.path", "shared_files.outbox"])
        expect(text).toMatch(new RegExp(`^${key}: \\S+ can't be made or written by root: `, "m"))
  })

  it("that belongs to another user is told too", async () => {
    const directory = prepare()
    for (const name of ["runs", "shared-files"]) mkdirSync(join(directory, name), { mode: 0o700 })
    chmodSync(directory, 0o755)
    const nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"]
    for (const [name, code] of [
      ["check", 2],
      ["serve", 3]
    ] as const) {
      const ended = await command("setpriv", [...nobody, process.execPath, main, name, "-c", directory])
      expect(ended.code).toBe(code)
      expect(ended.stderr).toMatch(
        /remote_run\.directory: \S+\/runs can't be made or written by nobody: EACCES/
      )
      expect(ended.stderr).toMatch(/shared_files\.path: \S+ can't be made or written by nobody: EACCES/)
    }
  })

  it("is made by serve, and not by check", async () => {
    const directory = prepare({ config: { remote_run: { directory: "/tmp" } } })
    expect((await program("check", "--config", directory)).code).toBe(0)
    const { code } = await command("test", ["-e", join(directory, "shared-files")])
    expect(code).toBe(1)
  })
})

describe("a certificate and a key", () => {
  it("that can't be read, or are not a pair, are told", async () => {
    const directory = prepare()
    const one = await pairOf(directory, "one")
    const other = await pairOf(directory, "other")
    prepare({ directory, config: { tls: { certificate: one.certificate, key: one.key } } })
    expect((await program("check", "--config", directory)).code).toBe(0)
    prepare({ directory, config: { tls: { certificate: one.certificate, key: other.key } } })
    const mixed = await both(directory)
    expect(mixed.codes).toEqual([2, 3])
    for (const text of mixed.said) expect(text).toContain("can't be used together")
    prepare({ directory, config: { tls: { certificate: "/nonexistent.pem", key: "/nonexistent.key" } } })
    const absent = await both(directory)
    expect(absent.codes).toEqual([2, 3])
    for (const text of absent.said) {
      expect(text).toContain("tls.certificate: /nonexistent.pem can't be read")
      expect(text).toContain("tls.key: /nonexistent.key can't be read")
    }
  })
})

describe("check", () => {
  it("says at once what is wrong with keys and with what other keys name", async () => {
    const directory = prepare({
      config: { general: { https_port: "many" }, remote_run: { command: "/nonexistent" } }
    })
    for (const text of (await both(directory)).said) {
      expect(text).toContain("general.https_port: expected")
      expect(text).toContain("remote_run.command: /nonexistent is not there")
    }
  })

  it("warns where something listens already, which may be the relay", async () => {
    const relay = await start()
    prepare({ directory: relay.directory, config: { general: { listen: `127.0.0.1:${relay.port}` } } })
    const { code, stderr } = await program("check", "--config", relay.directory)
    expect(code).toBe(0)
    expect(stderr).toContain("is in use")
  })

  it("shows no node's id but as text", async () => {
    const directory = prepare({
      nodes: { "a\nerror: forged\u001b[2J": { hostname: "a", "policy-server": "root" } }
    })
    const { stderr } = await program("check", "--config", directory)
    expect(stderr).toContain("a\\nerror: forged\\x1b[2J")
    expect(stderr).not.toMatch(/^error: forged/m)
  })
})
