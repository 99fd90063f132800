/** The built program, started for a test in a folder of its own, and ended with it. */
import { type ChildProcess, execFile, spawn } from "node:child_process"
import { chmodSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { until } from "../../support/Until.ts"
import { checkStatus, curlRequest } from "./ApiDescription.ts"

/** The built program's file. */
export const main = fileURLToPath(new URL("../../../dist/main.cjs", import.meta.url))

export interface NodeEntry {
  readonly hostname: string
  readonly "policy-server": string
  readonly "key-hash"?: string
}

export interface Options {
  /** Nodes by id; default: none. */
  readonly nodes?: Record<string, NodeEntry>
  /** What the agent does, as a shell script: `$host` and `$classes` are set. */
  readonly agent?: string
  /** More of main.conf, by section. */
  readonly config?: Record<string, Record<string, string | number | boolean | ReadonlyArray<string>>>
  /** A main.conf as it stands, instead. */
  readonly mainConf?: (directory: string) => string
  /** Starts the program by this command, such as setpriv. */
  readonly prefix?: ReadonlyArray<string>
  readonly directory?: string
  /** What is said before the folder, in place of `serve --config`. */
  readonly command?: ReadonlyArray<string>
  /** The folder that it is started in. */
  readonly cwd?: string
  /** More of its environment. */
  readonly env?: Readonly<Record<string, string>>
}

/** A program that was started, and may not listen yet. */
export interface Launched {
  readonly directory: string
  readonly pid: number
  readonly log: () => string
  readonly exited: Promise<number | null>
  readonly kill: (signal: NodeJS.Signals) => void
  /** Fails where the program ends before. */
  readonly listening: () => Promise<Relay>
}

export interface Relay {
  readonly directory: string
  readonly pid: number
  readonly port: number
  /** Without base. */
  readonly origin: string
  /** `/rudder/relay-api` */
  readonly url: string
  readonly log: () => string
  readonly exited: Promise<number | null>
  readonly kill: (signal: NodeJS.Signals) => void
  readonly stop: () => Promise<number | null>
}

const agentHead = `#!/bin/sh
shift 2
classes=""
if [ "$1" = "-D" ]; then classes=$2; shift 2; fi
[ "$1" = "--" ] && shift
host=$1
`

const toml = (config: NonNullable<Options["config"]>) =>
  Object.entries(config)
    .map(([section, values]) =>
      [
        `[${section}]`,
        ...Object.entries(values).map(([key, value]) => `${key} = ${JSON.stringify(value)}`)
      ].join("\n")
    )
    .join("\n\n")

/** n nodes of this relay, `n0` to `n<count - 1>`. */
export const nodes = (count: number): Record<string, NodeEntry> =>
  Object.fromEntries(
    Array.from({ length: count }, (_, i) => [
      `n${i}`,
      { hostname: `n${i}.example.com`, "policy-server": "root" }
    ])
  )

/** Folders of a test's own, whether or not anything was started in them. */
const prepared = new Set<string>()

/** Writes the folder that a relay is started from. */
export const prepare = (options: Options = {}): string => {
  const directory = options.directory ?? mkdtempSync(join(tmpdir(), "rudder-relay-e2e-"))
  if (options.directory === undefined) prepared.add(directory)
  chmodSync(directory, 0o755)
  writeNodes(directory, options.nodes ?? {})
  writeFileSync(join(directory, "agent"), agentHead + (options.agent ?? "echo hello"))
  chmodSync(join(directory, "agent"), 0o755)
  const { general, remote_run, shared_files, shared_folder, ...sections } = options.config ?? {}
  const config = {
    general: {
      node_id: "root",
      nodes_list_file: join(directory, "nodeslist.json"),
      nodes_certs_file: join(directory, "nodescerts.pem"),
      listen: "127.0.0.1:0",
      ...general
    },
    remote_run: {
      command: join(directory, "agent"),
      use_sudo: false,
      directory: join(directory, "runs"),
      ...remote_run
    },
    shared_files: {
      path: join(directory, "shared-files"),
      outbox: join(directory, "outbox"),
      ...shared_files
    },
    shared_folder: { path: join(directory, "shared-folder"), ...shared_folder },
    ...sections
  }
  writeFileSync(join(directory, "main.conf"), options.mainConf?.(directory) ?? toml(config))
  return directory
}

/** Replaces the list as a policy generation does: a new file, renamed over. */
export const writeNodes = (directory: string, list: Record<string, NodeEntry> | string): void => {
  const file = join(directory, "nodeslist.json")
  writeFileSync(`${file}.new`, typeof list === "string" ? list : JSON.stringify(list))
  renameSync(`${file}.new`, file)
}

const running = new Set<{ readonly child: ChildProcess; readonly directory: string }>()

/** Starts `serve`. */
export const launch = (options: Options = {}): Launched => {
  const directory = prepare(options)
  const [command = "", ...args] = [
    ...(options.prefix ?? []),
    process.execPath,
    main,
    ...(options.command ?? ["serve", "--config"]),
    directory
  ]
  const child = spawn(command, args, {
    stdio: ["ignore", "ignore", "pipe"],
    cwd: options.cwd,
    env: { ...environment(), ...options.env }
  })
  const entry = { child, directory }
  running.add(entry)
  let log = ""
  child.stderr?.on("data", (bytes) => {
    log += bytes
  })
  const exited = new Promise<number | null>((resolve) => child.once("exit", (code) => resolve(code)))
  let gone = false
  void exited.then(() => {
    gone = true
  })
  const launched = {
    directory,
    pid: child.pid ?? 0,
    log: () => log,
    exited,
    kill: (signal: NodeJS.Signals) => void child.kill(signal)
  }
  const listening = async (): Promise<Relay> => {
    const port = await until(`listening: ${log}`, () => {
      const found = /message"?[=:]"?listening\b.*address"?[=:]"?[^\s"]*:(\d+)/.exec(log)?.[1]
      if (found !== undefined) return Number(found)
      if (gone) throw new Error(`the relay ended: ${log}`)
      return undefined
    })
    const origin = `http://127.0.0.1:${port}`
    const stop = () => {
      child.kill("SIGTERM")
      return exited
    }
    return { ...launched, port, origin, url: `${origin}/rudder/relay-api`, stop }
  }
  return { ...launched, listening }
}

/** Starts `serve` and waits until it listens. */
export const start = (options: Options = {}): Promise<Relay> => launch(options).listening()

/** Ends whatever a test left, and removes its folders. */
export const cleanUp = async (): Promise<void> => {
  for (const { child, directory } of running) {
    if (child.exitCode === null && child.signalCode === null) {
      const exited = new Promise((resolve) => child.once("exit", resolve))
      child.kill("SIGKILL")
      await exited
    }
    rmSync(directory, { recursive: true, force: true })
  }
  running.clear()
  for (const directory of prepared) rmSync(directory, { recursive: true, force: true })
  prepared.clear()
}

/** Without what a developer's own shell says of a relay. */
const environment = (): NodeJS.ProcessEnv =>
  Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("RUDDER_RELAY")))

export interface Ended {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

const exec = promisify(execFile)

/** Runs a command to its end; a code other than 0 is a result too. It may take `timeout` milliseconds. */
export const command = async (
  program: string,
  args: ReadonlyArray<string>,
  timeout = 60_000
): Promise<Ended> => {
  try {
    const { stdout, stderr } = await exec(program, [...args], {
      env: environment(),
      maxBuffer: 1 << 28,
      timeout
    })
    return { code: 0, stdout, stderr }
  } catch (error) {
    if (!(error instanceof Error) || !("code" in error) || !("stdout" in error) || !("stderr" in error))
      throw error
    return { code: Number(error.code), stdout: String(error.stdout), stderr: String(error.stderr) }
  }
}

/** Runs a command of the built program. */
export const program = (...args: ReadonlyArray<string>): Promise<Ended> =>
  command(process.execPath, [main, ...args])

/** curl, with the status in the last line; a status that the API's description does not have is an error. */
export const curl = async (
  ...args: ReadonlyArray<string>
): Promise<{ readonly status: number; readonly body: string }> => {
  const { stdout } = await command("curl", ["-sS", "-N", "-w", "\n%{http_code}", ...args])
  const at = stdout.lastIndexOf("\n")
  const status = Number(stdout.slice(at + 1))
  const { method, urls } = curlRequest(args)
  const [url, ...others] = urls
  if (url !== undefined && others.length === 0) checkStatus(method, url, status)
  return { status, body: stdout.slice(0, at) }
}

/** What a raw connection gets for these bytes, which are sent as they are. */
export const raw = (relay: Relay, ...request: ReadonlyArray<string | Buffer>): Promise<string> =>
  new Promise((resolve) => {
    let answer = ""
    const socket = connect(relay.port, "127.0.0.1", () => {
      for (const part of request) socket.write(part)
    })
    socket.on("data", (bytes) => {
      answer += bytes.toString("latin1")
    })
    // A reset: what came before it counts.
    socket.on("error", () => resolve(answer))
    socket.on("close", () => resolve(answer))
  })

/** Events of an answer in text or ndjson. */
export const events = (body: string): ReadonlyArray<Record<string, unknown>> =>
  body
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line))

/** Resident memory of a process, in bytes: now and at its highest. */
export const memory = (pid: number) => {
  const status = readFileSync(`/proc/${pid}/status`, "utf8")
  const of = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1] ?? 0) * 1024
  return { now: of("VmRSS"), highest: of("VmHWM") }
}

/** Processes whose command line has this text. */
export const processesWith = async (text: string): Promise<ReadonlyArray<number>> => {
  const { stdout } = await command("pgrep", ["-f", "--", text])
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .map(Number)
}
