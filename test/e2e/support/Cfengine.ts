/** Simulated CFEngine hosts on this machine: each has a work folder, a key and, where it serves, a port of its own. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { createHash, createPublicKey, randomInt } from "node:crypto"
import { chmodSync, copyFileSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import { until } from "../../support/Until.ts"
import { command, type Ended } from "./Program.ts"

const address = "127.0.0.1"

const run = (program: string, args: ReadonlyArray<string>, env: NodeJS.ProcessEnv = process.env) =>
  execFileSync(program, args, { encoding: "utf8", env }).trim()

export interface Host {
  readonly folder: string
  /** How CFEngine names its key: `MD5=…`. */
  readonly digest: string
  /** Its key as the nodes list has it. */
  readonly keyHash: string
  /** Writes a file of its inputs folder, and gives its path. */
  readonly input: (name: string, text: string) => string
  /** Runs cf-agent on a policy, without the locks that keep a promise from being looked at twice a minute. */
  readonly agent: (policy: string, ...args: ReadonlyArray<string>) => Promise<Ended>
  /** Runs another program of CFEngine. */
  readonly cfengine: (program: string, ...args: ReadonlyArray<string>) => Promise<Ended>
}

const environment = (folder: string) => ({ ...process.env, CFENGINE_TEST_OVERRIDE_WORKDIR: folder })

/** Makes a host with a new key. */
export const host = (folder: string): Host => {
  for (const name of ["inputs", "ppkeys", "state", "outputs", "bin"])
    mkdirSync(join(folder, name), { recursive: true, mode: 0o700 })
  for (const name of ["cf-promises", "cf-agent"])
    symlinkSync(run("sh", ["-c", `command -v ${name}`]), join(folder, "bin", name))
  run("cf-key", [], environment(folder))
  const publicKey = join(folder, "ppkeys/localhost.pub")
  const der = createPublicKey(readFileSync(publicKey)).export({ type: "pkcs1", format: "der" })
  const cfengine = (program: string, ...args: ReadonlyArray<string>) =>
    command("env", [`CFENGINE_TEST_OVERRIDE_WORKDIR=${folder}`, program, ...args])
  return {
    folder,
    digest: run("cf-key", ["-p", publicKey], environment(folder)),
    keyHash: `sha256:${createHash("sha256").update(der).digest("hex")}`,
    input: (name, text) => {
      const file = join(folder, "inputs", name)
      writeFileSync(file, text, { mode: 0o600 })
      return file
    },
    agent: (policy, ...args) => cfengine("cf-agent", "--no-lock", "--file", policy, ...args),
    cfengine
  }
}

/** Each gets the other's key, as a bootstrap does. */
export const introduce = (one: Host, other: Host): void => {
  for (const [to, from] of [
    [one, other],
    [other, one]
  ] as const)
    copyFileSync(
      join(from.folder, "ppkeys/localhost.pub"),
      join(to.folder, "ppkeys", `root-${from.digest}.pub`)
    )
}

/** A port that was free a moment ago. */
export const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer()
    server.once("error", reject)
    server.listen(0, address, () => {
      const listening = server.address()
      server.close(() => resolve(typeof listening === "object" && listening !== null ? listening.port : 0))
    })
  })

export interface Served {
  /** What cf-runagent runs there: the path of an executable. */
  readonly runs?: string
  /** Folders to copy from, and whose keys may: `MD5=…`. */
  readonly folders?: Record<string, ReadonlyArray<string>>
}

const list = (values: ReadonlyArray<string>) => `{ ${values.map((value) => `"${value}"`).join(", ")} }`

const serverPolicy = (port: number, { runs, folders = {} }: Served) => `
body common control { bundlesequence => { "nothing" }; }
bundle agent nothing { }
body server control
{
  port             => "${port}";
  bindtointerface  => "${address}";
  allowconnects    => { "${address}" };
  allowallconnects => { "${address}" };
  allowusers       => { "root" };
  ${runs === undefined ? "" : `cfruncommand => "${runs}";`}
}
bundle server access_rules
{
  access:
      ${runs === undefined ? "" : `"${runs}" admit => { "${address}" };`}
      ${Object.entries(folders)
        .map(([folder, keys]) => `"${folder}/" admit_keys => ${list(keys)};`)
        .join("\n      ")}
  roles:
    any::
      ".*" authorize => { "root" };
}
`

const serving = new Set<ChildProcess>()

/** Starts cf-serverd and gives its port. Should another process take the port first, it looks for another. */
export const serve = async (on: Host, served: Served): Promise<number> => {
  for (let attempt = 0; attempt < 5; attempt++) {
    const port = await freePort()
    const policy = on.input("cf-serverd.cf", serverPolicy(port, served))
    const child = spawn("cf-serverd", ["--no-fork", "--inform", "--file", policy], {
      env: environment(on.folder),
      stdio: ["ignore", "pipe", "pipe"]
    })
    serving.add(child)
    let log = ""
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (bytes) => {
        log += bytes
      })
    const listens = await until("cf-serverd listens", async () => {
      if (child.exitCode !== null || child.signalCode !== null) return "no"
      return (await isOf(port, child.pid ?? 0)) ? "yes" : undefined
    }).catch((error) => {
      throw new Error(`${error}: ${log}`)
    })
    if (listens === "yes") return port
    if (!/in use/i.test(log)) throw new Error(`cf-serverd ended: ${log}`)
  }
  throw new Error("no port for cf-serverd")
}

/** Whether a process listens on a port: asked of the kernel, since a connection is an event on a server's log. */
const isOf = async (port: number, pid: number): Promise<boolean> => {
  const hex = port.toString(16).toUpperCase().padStart(4, "0")
  const line = readFileSync("/proc/net/tcp", "utf8")
    .split("\n")
    .map((text) => text.trim().split(/\s+/))
    .find(([, local = "", , state]) => local.endsWith(`:${hex}`) && state === "0A")
  const inode = line?.[9]
  if (inode === undefined) return false
  const { stdout } = await command("find", [`/proc/${pid}/fd`, "-lname", `socket:\\[${inode}\\]`])
  return stdout !== ""
}

/** Ends every cf-serverd that was started here. */
export const endServers = async (): Promise<void> => {
  await Promise.all(
    Array.from(serving, async (child) => {
      if (child.exitCode !== null || child.signalCode !== null) return
      const exited = new Promise((resolve) => child.once("exit", resolve))
      child.kill("SIGTERM")
      const stubborn = setTimeout(() => child.kill("SIGKILL"), 5000)
      await exited
      clearTimeout(stubborn)
    })
  )
  serving.clear()
}

/** A user for the relay, as it is deployed, with sudo for one command. */
export interface DaemonUser {
  readonly name: string
  readonly uid: number
  readonly gid: number
  /** Starts a program as this user, with the one capability that the unit grants. */
  readonly prefix: ReadonlyArray<string>
  readonly allow: (command: string) => void
  readonly remove: () => void
}

/** Makes that user, with a group of its own. Needs root. */
export const daemonUser = (): DaemonUser => {
  const name = `rudder-e2e-${randomInt(1_000_000)}`
  const sudoers = `/etc/sudoers.d/${name}`
  run("useradd", ["--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", name])
  return {
    name,
    uid: Number(run("id", ["-u", name])),
    gid: Number(run("id", ["-g", name])),
    prefix: [
      "setpriv",
      "--reuid",
      name,
      "--regid",
      name,
      "--clear-groups",
      "--inh-caps",
      "+kill",
      "--ambient-caps",
      "+kill"
    ],
    allow: (path) => {
      writeFileSync(sudoers, `${name} ALL=(root) NOPASSWD: ${path}\n`, { mode: 0o440 })
    },
    remove: () => {
      rmSync(sudoers, { force: true })
      run("userdel", [name])
    }
  }
}

/**
 * What `remote_run.command` is: `remote run [-D class,…] -- host` over cf-runagent, with the keys of `from`.
 * What the agent prints goes to stdout, what cf-runagent says itself to stderr.
 */
export const remoteRunCommand = (from: Host, ports: Record<string, number>): string => {
  from.input(
    "promises.cf",
    'body common control { bundlesequence => { "nothing" }; }\nbundle agent nothing { }\n'
  )
  const file = join(from.folder, "remote-run")
  const cases = Object.entries(ports).map(([name, port]) => `  ${name}) to=${address}:${port} ;;`)
  writeFileSync(
    file,
    `#!/bin/sh
[ "$1 $2" = "remote run" ] || exit 64
shift 2
if [ "$1" = "-D" ]; then classes=$2; shift 2; fi
[ "$1" = "--" ] || exit 64
case $2 in
${cases.join("\n")}
  *) echo "no such host: $2" >&2; exit 68 ;;
esac
export CFENGINE_TEST_OVERRIDE_WORKDIR="${from.folder}"
exec 4>&1
code=$( {
  { cf-runagent --hail "$to" \${classes:+-D "$classes"} 2>&1; echo $? >&3; } |
    sed -u -n -e 's/^[^ ]*> -> //p' -e t -e 'w /dev/stderr' >&4
} 3>&1 )
exit "$code"
`
  )
  chmodSync(file, 0o755)
  return file
}
