/** Signals to processes, and whether the daemon may send them to those of root. */
import * as fs from "node:fs"
import { Effect } from "effect"
import * as ProcessTable from "./ProcessTable.ts"

/** `Gone` also where the process is another one by now; `Denied`: the daemon may not. */
export type Sent = "Sent" | "Gone" | "Denied"

const send = (pid: number, signal: NodeJS.Signals | 0): Sent => {
  try {
    process.kill(pid, signal)
    return "Sent"
  } catch (cause) {
    return cause instanceof Error && "code" in cause && cause.code === "EPERM" ? "Denied" : "Gone"
  }
}

/** To this process and no other that got its number since. */
export const toProcess = (target: ProcessTable.Process, signal: NodeJS.Signals): Sent =>
  ProcessTable.find(target.pid)?.start === target.start ? send(target.pid, signal) : "Gone"

/** To every process of a group whose leader has not been waited for yet. */
export const toGroup = (leader: number, signal: NodeJS.Signals): Sent => send(-leader, signal)

/** Whether some process has this number, be it the daemon's to signal or not. */
export const isThere = (pid: number): boolean => send(pid, 0) !== "Gone"

const capKill = 1n << 5n

/** Decodes `CapEff` of a `/proc/<pid>/status`. */
export const hasCapKill = (status: string): boolean => {
  const capabilities = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1]
  return capabilities !== undefined && (BigInt(`0x${capabilities}`) & capKill) !== 0n
}

/** Whether this daemon can end agents that sudo runs as root: it is root or has CAP_KILL. */
export const canSignalRoot: Effect.Effect<boolean> = Effect.sync(() => {
  try {
    return hasCapKill(fs.readFileSync("/proc/self/status", "latin1"))
  } catch {
    return process.geteuid?.() === 0
  }
})
