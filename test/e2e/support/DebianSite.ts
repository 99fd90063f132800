/**
 * A machine to install packages on: this one's files under an overlay that is thrown away, with a network of its own, where the
 * system lets root have that; else, in a container that is thrown away itself, this machine.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { until } from "../../support/Until.ts"
import { command, type Ended } from "./Program.ts"

export interface DebianSite {
  /** Whether it is one of its own, with mounts. */
  readonly isolated: boolean
  /** Runs a program there to its end. */
  readonly run: (program: string, ...args: ReadonlyArray<string>) => Promise<Ended>
  /** A script of sh, likewise. */
  readonly sh: (script: string) => Promise<Ended>
  /** Starts a program there. */
  readonly start: (program: string, ...args: ReadonlyArray<string>) => ChildProcess
  readonly read: (path: string) => string
  readonly exists: (path: string) => boolean
  /** Makes the folders above, too. */
  readonly write: (path: string, content: string, mode?: number) => void
  readonly stop: () => Promise<void>
}

/** Whether mounts, and so a site of its own, can be had. */
const canIsolate = (): boolean =>
  spawnSync("unshare", ["-m", "-n", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).status === 0

const overlay = (folder: string) => `set -e
cd ${folder}
mount -t tmpfs tmpfs .
cd ${folder}
mkdir upper work root
mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work root
for name in proc dev sys; do mount --rbind /$name root/$name; done
mount -t tmpfs -o mode=755 tmpfs root/run
mkdir -p root/run/lock
ip link set lo up
echo ready
exec chroot root sleep 1000000
`

/** @param prefix what brings a program there; `root` is where its files are seen from here */
const siteOf = (
  isolated: boolean,
  prefix: ReadonlyArray<string>,
  root: string,
  stop: DebianSite["stop"]
): DebianSite => {
  const run = (program: string, ...args: ReadonlyArray<string>) => {
    const [first = "", ...others] = [...prefix, program, ...args]
    return command(first, others, 110_000)
  }
  const at = (path: string) => `${root}${path}`
  return {
    isolated,
    run,
    sh: (script) => run("sh", "-c", script),
    start: (program, ...args) => {
      const [first = "", ...others] = [...prefix, program, ...args]
      return spawn(first, others, { stdio: ["ignore", "pipe", "inherit"] })
    },
    read: (path) => readFileSync(at(path), "utf8"),
    exists: (path) => existsSync(at(path)),
    write: (path, content, mode = 0o644) => {
      mkdirSync(dirname(at(path)), { recursive: true })
      writeFileSync(at(path), content, { mode })
    },
    stop
  }
}

export const startDebianSite = async (): Promise<DebianSite> => {
  if (!canIsolate()) {
    if (existsSync("/opt/rudder") || existsSync("/run/systemd/system"))
      throw new Error("there is a Rudder, or systemd, on this machine, which a test must not touch")
    return siteOf(false, ["env"], "", async () => {})
  }
  const folder = mkdtempSync(join(tmpdir(), "rudder-relay-site-"))
  const holder = spawn("unshare", ["-m", "-n", "sh", "-c", overlay(folder)], {
    stdio: ["ignore", "pipe", "pipe"]
  })
  let said = ""
  for (const output of [holder.stdout, holder.stderr])
    output.on("data", (bytes) => {
      said += bytes
    })
  const ended = new Promise((resolve) => holder.once("exit", resolve))
  const stop = async () => {
    holder.kill("SIGKILL")
    await ended
    rmSync(folder, { recursive: true, force: true })
  }
  await until("the site is mounted", () => {
    if (holder.exitCode !== null) throw new Error(`no site: ${said}`)
    return said.includes("ready") && readFileSync(`/proc/${holder.pid}/comm`, "utf8") === "sleep\n"
  })
  const prefix = ["nsenter", "-t", String(holder.pid), "-m", "-n", "-r", "-w", "--"]
  return siteOf(true, prefix, `/proc/${holder.pid}/root`, stop)
}
