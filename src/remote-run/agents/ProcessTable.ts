/** The processes of this machine, as /proc has them. Where there is no /proc (or it hides others') the table is empty. */
import * as fs from "node:fs"

/** One process. Process id and start time together are never used twice. */
export interface Process {
  readonly pid: number
  readonly parent: number
  readonly session: number
  /** Clock ticks since boot. */
  readonly start: number
  /** Dead, and not waited for by its parent yet. */
  readonly zombie: boolean
}

export type ProcessTable = ReadonlyMap<number, Process>

const buffer = Buffer.allocUnsafe(256 * 1024)

/** What a file of /proc says, up to 256 KiB; undefined when it may not be read or its process is gone. */
const read = (path: string): string | undefined => {
  let fd: number | undefined
  try {
    fd = fs.openSync(path, "r")
    let length = 0
    for (let count = -1; count !== 0 && length < buffer.length; length += count)
      count = fs.readSync(fd, buffer, length, buffer.length - length, null)
    return buffer.toString("latin1", 0, length)
  } catch {
    return undefined
  } finally {
    if (fd !== undefined) fs.closeSync(fd)
  }
}

/** Decodes a `/proc/<pid>/stat`. */
export const parseStat = (text: string): Process | undefined => {
  // The name in parentheses may itself hold spaces and parentheses.
  const close = text.lastIndexOf(")")
  const [state, parent, , session, ...rest] = text.slice(close + 2).split(" ")
  if (close < 0 || state === undefined) return undefined
  return {
    pid: Number.parseInt(text, 10),
    parent: Number(parent),
    session: Number(session),
    start: Number(rest[15]),
    zombie: state === "Z" || state === "X"
  }
}

/** One process as it is now, dead or alive; undefined when it is gone. */
export const find = (pid: number): Process | undefined => {
  const text = read(`/proc/${pid}/stat`)
  return text === undefined ? undefined : parseStat(text)
}

/**
 * The environment that a process started with, as `NAME=value` with a NUL after each; empty for a process that is just
 * about to start its program, undefined when it may not be read.
 */
export const environment = (pid: number): string | undefined => read(`/proc/${pid}/environ`)

const isPid = (name: string) => /^\d+$/.test(name)

/** How many processes are read between two turns of the event loop: about 1 ms. */
const processesPerTurn = 64

/**
 * All but zombies, which hold nothing, and which only their parents can end. Other work goes on while it is read, so the
 * table is not of one instant.
 */
export const readAll = async (): Promise<ProcessTable> => {
  const table = new Map<number, Process>()
  const names = await fs.promises.readdir("/proc").catch(() => [])
  let count = 0
  for (const name of names) {
    if (!isPid(name)) continue
    const process = find(Number(name))
    if (process?.zombie === false) table.set(process.pid, process)
    if (++count % processesPerTurn === 0) await new Promise<void>((resume) => setImmediate(resume))
  }
  return table
}
