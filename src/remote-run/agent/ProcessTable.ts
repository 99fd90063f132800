/** The processes of this machine, as far as they belong to an agent. Linux's /proc. */
import * as fs from "node:fs"

export interface ProcessEntry {
  readonly pid: number
  readonly parent: number
  readonly group: number
  readonly session: number
  /** Clock ticks since boot: tells a process from a later one with the same number. */
  readonly started: number
  /** Dead and not reaped yet. */
  readonly zombie: boolean
}

/** The entry of a process; undefined when it is gone. */
export const read = (pid: number): ProcessEntry | undefined => {
  let text: string
  try {
    text = fs.readFileSync(`/proc/${pid}/stat`, "latin1")
  } catch {
    return undefined
  }
  // The name, in parentheses, may hold anything.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ")
  const [state, parent, group, session] = fields
  return {
    pid,
    parent: Number(parent),
    group: Number(group),
    session: Number(session),
    started: Number(fields[19]),
    zombie: state === "Z" || state === "X"
  }
}

const all = (): ReadonlyArray<ProcessEntry> => {
  let names: ReadonlyArray<string>
  try {
    names = fs.readdirSync("/proc")
  } catch {
    return []
  }
  return names
    .filter((name) => /^\d+$/.test(name))
    .map((name) => read(Number(name)))
    .filter((entry) => entry !== undefined)
}

/** Whether a process was started with this variable. False where its environment can't be read. */
const carries = (pid: number, variable: string): boolean => {
  try {
    return fs.readFileSync(`/proc/${pid}/environ`, "latin1").split("\0").includes(variable)
  } catch {
    return false
  }
}

/** Processes by number, with the time of their start. */
export type Members = Map<number, number>

/**
 * Adds to `members` what belongs to the same agent: descendants, processes of a group or session that a member leads,
 * and those that carry the agent's variable though they broke away from all of that.
 */
export const extend = (members: Members, leader: number, variable: string): void => {
  const entries = all().filter(({ pid, zombie }) => !zombie && pid !== process.pid && pid > 1)
  const belongs = ({ pid, parent, group, session }: ProcessEntry) =>
    group === leader ||
    session === leader ||
    [parent, group, session].some((number) => members.has(number)) ||
    carries(pid, variable)
  let found = true
  while (found) {
    found = false
    for (const entry of entries) {
      if (members.has(entry.pid) || !belongs(entry)) continue
      members.set(entry.pid, entry.started)
      found = true
    }
  }
}

/** Those of the members that still live. */
export const alive = (members: Members): ReadonlyArray<number> =>
  [...members]
    .filter(([pid, started]) => {
      const entry = read(pid)
      return entry !== undefined && entry.started === started && !entry.zombie
    })
    .map(([pid]) => pid)

/** Whether anything lives in a process group; also where it may not be signalled. */
export const groupExists = (group: number): boolean => {
  try {
    process.kill(-group, 0)
    return true
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM"
  }
}

/** False where this process may not signal that one. */
export const signal = (pid: number, name: "SIGTERM" | "SIGKILL"): boolean => {
  try {
    process.kill(pid, name)
    return true
  } catch (error) {
    return !(error instanceof Error && "code" in error && error.code === "EPERM")
  }
}

const capKill = 1n << 5n

/** Whether this process may signal those of other users, as an agent under sudo is: it is root, or has CAP_KILL. */
export const canSignalOthers = (): boolean => {
  if (process.geteuid?.() === 0) return true
  try {
    const found = /^CapEff:\s*([0-9a-f]+)/m.exec(fs.readFileSync("/proc/self/status", "latin1"))
    return found?.[1] !== undefined && (BigInt(`0x${found[1]}`) & capKill) !== 0n
  } catch {
    return false
  }
}
