/** Simulated hosts that use the ncf methods, and relays as they are deployed, for what is shared between them. */
import { chmodSync, chownSync, copyFileSync, cpSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type { DaemonUser, Host } from "./Cfengine.ts"
import type { Identity } from "./Identities.ts"
import { type Options, type Relay, start } from "./Program.ts"

export const methodsFolder = fileURLToPath(new URL("../../../src/ncf", import.meta.url))
export const methodFiles = [
  "_sharedfile.cf",
  "sharedfile_from_node.cf",
  "sharedfile_synchronise.cf",
  "sharedfile_to_node.cf"
]

/** A text as CFEngine reads it in a policy. */
export const quoted = (text: string): string => `"${text.replace(/["\\]/g, "\\$&")}"`

const call = (method: string, args: ReadonlyArray<string>) => `${method}(${args.map(quoted).join(", ")})`

export const toNode = (target: string, fileId: string, path: string, ttl = ""): string =>
  call("sharedfile_to_node", [target, fileId, path, ttl])
export const fromNode = (source: string, fileId: string, path: string): string =>
  call("sharedfile_from_node", [source, fileId, path])
export const synchronise = "sharedfile_synchronise"

/** Copies the methods into the host's inputs, and sets `def.sharedfile_…`. */
export const install = (on: Host, settings: Record<string, string>): void => {
  cpSync(methodsFolder, join(on.folder, "inputs/sharedfile"), { recursive: true })
  settle(on, settings)
}

export const settle = (on: Host, settings: Record<string, string>): void => {
  const vars = Object.fromEntries(
    Object.entries(settings).map(([name, value]) => [`sharedfile_${name}`, value])
  )
  on.input("def.json", JSON.stringify({ vars }))
}

/** A policy that makes these calls, one after the other, and reports the classes that came of them. */
export const policyOf = (
  calls: ReadonlyArray<string>,
  more = "",
  inputs: ReadonlyArray<string> = []
): string => `
body common control
{
  inputs         => { ${[...inputs, ...methodFiles.map((file) => `sharedfile/${file}`)].map(quoted).join(", ")} };
  bundlesequence => { "main", "outcome" };
}
body action now { ifelapsed => "0"; }
bundle agent main
{
  methods:
${calls.map((usebundle, i) => `      "${i}" usebundle => ${usebundle}, action => now;`).join("\n")}
}
bundle agent outcome
{
  vars:
      "classes" slist => classesmatching(".*sharedfile_.*");
  reports:
      "class $(classes)" action => now;
}
${more}
`

export interface Used {
  /** The classes that the methods defined, sorted. */
  readonly classes: ReadonlyArray<string>
  /** What they reported. */
  readonly reports: ReadonlyArray<string>
  /** All that cf-agent printed. */
  readonly printed: string
}

export interface Using {
  /** Of cf-agent. */
  readonly args?: ReadonlyArray<string>
  /** `NAME=value` */
  readonly env?: ReadonlyArray<string>
  /** More of the policy. */
  readonly more?: string
}

/** Runs cf-agent on a policy that makes these calls, with the locks that a real agent has. */
export const use = async (
  on: Host,
  calls: ReadonlyArray<string>,
  { args = [], env = [], more = "" }: Using = {}
): Promise<Used> => {
  const policy = on.input("policy.cf", policyOf(calls, more))
  const { stdout, stderr } = await on.cfengine("env", ...env, "cf-agent", "--file", policy, ...args)
  // In dry-run mode cf-agent says what it would report.
  const said = [
    ...`${stdout}\n${stderr}`.matchAll(/^(?:R| warning: Need to repair reports promise): (.*)$/gm)
  ].map(([, text = ""]) => text)
  const classes = said.flatMap((line) => (line.startsWith("class ") ? [line.slice(6)] : []))
  return {
    classes: classes.sort(),
    reports: said.filter((line) => !line.startsWith("class ")),
    printed: stdout + stderr
  }
}

const suffixes = {
  kept: ["kept", "ok", "reached", "not_repaired"],
  repaired: ["repaired", "ok", "reached"],
  error: ["error", "failed", "not_ok", "not_kept", "not_repaired", "reached"],
  noop: ["noop"]
}
const whole = {
  kept: "promise_kept_",
  repaired: "promise_repaired_",
  error: "repair_failed_",
  noop: undefined
}

/** The classes that ncf's methods define for an outcome, sorted. */
export const classesOf = (prefix: string, outcome: keyof typeof suffixes): ReadonlyArray<string> => {
  const start = whole[outcome]
  return [
    ...suffixes[outcome].map((suffix) => `${prefix}_${suffix}`),
    ...(start === undefined ? [] : [`${start}${prefix}`])
  ].sort()
}

export interface Deployed extends Options {
  /** Serves HTTPS with this. */
  readonly identity?: Identity
  /** Its policy server. */
  readonly upstream?: { readonly identity: Identity; readonly port: number }
}

/** Starts a relay as its own user, in a folder that is that user's. */
export const startAs = (user: DaemonUser, { identity, upstream, config, ...options }: Deployed) => {
  const directory = mkdtempSync(join(tmpdir(), "rudder-relay-e2e-"))
  chownSync(directory, user.uid, user.gid)
  const own = (from: string, name: string) => {
    const file = join(directory, name)
    copyFileSync(from, file)
    chownSync(file, user.uid, user.gid)
    return file
  }
  const tls = identity && {
    tls: { certificate: own(identity.certificate, "cert.pem"), key: own(identity.key, "key.pem") }
  }
  const above = upstream && {
    general: { ...config?.general, https_port: upstream.port },
    "output.upstream": {
      host: "127.0.0.1",
      server_certificate_file: own(upstream.identity.certificate, "policy_server.pem")
    }
  }
  return start({ ...options, directory, prefix: user.prefix, config: { ...config, ...tls, ...above } })
}

/** Where a relay's API is over HTTPS. */
export const secureUrl = ({ port }: Relay): string => `https://127.0.0.1:${port}/rudder/relay-api`

/** An executable script that a test puts before others. */
export const script = (file: string, text: string): string => {
  writeFileSync(file, `#!/bin/sh\n${text}\n`)
  chmodSync(file, 0o755)
  return file
}

/** The lines of what stands beside a stored file. */
export const fieldsOf = (stored: string): Record<string, string | undefined> =>
  Object.fromEntries(
    readFileSync(`${stored}.metadata`, "utf8")
      .split("\n")
      .filter((line) => line.includes("="))
      .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)])
  )

const page = fileURLToPath(new URL("../../../docs/ncf-methods.md", import.meta.url))

/** The policies, and what is printed, of the documentation of the methods. */
export const documentedBlocks = (language: "cfengine" | ""): ReadonlyArray<string> =>
  [...readFileSync(page, "utf8").matchAll(/^```(\w*)\n(.*?)^```$/gms)].flatMap(([, name, text = ""]) =>
    name === language ? [text] : []
  )

/** Runs cf-agent on a policy as it stands; what it reports. */
export const reportsOf = async (on: Host, policy: string): Promise<ReadonlyArray<string>> => {
  const { stdout } = await on.agent(on.input("policy.cf", policy))
  return stdout.split("\n").filter((line) => line.startsWith("R: "))
}
