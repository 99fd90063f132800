/** What a relay leaves: its processes, known by a temporary folder that it and all its children have in their environment. */
import { mkdirSync, readdirSync, readFileSync, readlinkSync } from "node:fs"
import { join } from "node:path"
import { until } from "../../support/Until.ts"

/** A relay's temporary folder, and the environment to start it with. */
export const temporaryFolder = (directory: string) => {
  const folder = join(directory, "tmp")
  mkdirSync(folder, { recursive: true })
  return { folder, env: { TMPDIR: folder } }
}

const readable = (read: () => string): string => {
  try {
    return read()
  } catch {
    // The process has ended since.
    return ""
  }
}

export interface Remaining {
  readonly pid: number
  readonly commandLine: string
}

/** The processes that have this temporary folder; a zombie is none. */
export const processesOf = (folder: string): ReadonlyArray<Remaining> =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) =>
      readable(() => readFileSync(`/proc/${pid}/environ`, "utf8"))
        .split("\0")
        .includes(`TMPDIR=${folder}`)
    )
    .map((pid) => ({
      pid: Number(pid),
      commandLine: readable(() => readFileSync(`/proc/${pid}/cmdline`, "utf8"))
        .split("\0")
        .join(" ")
        .trim()
    }))

/** Waits until none is left; fails with those that are. */
export const allGone = async (folder: string, seconds: number): Promise<void> => {
  let left: ReadonlyArray<Remaining> = []
  try {
    await until(
      "no process of the relay is left",
      () => {
        left = processesOf(folder)
        return left.length === 0
      },
      seconds
    )
  } catch {
    const lines = left.map(({ pid, commandLine }) => `${pid} ${commandLine}`)
    throw new Error(`after ${seconds} s there still are\n${lines.join("\n")}`)
  }
}

/** Ends those that are left, so that a test that fails leaves none either. */
export const endAll = (folder: string): void => {
  for (const { pid } of processesOf(folder)) {
    try {
      process.kill(pid, "SIGKILL")
    } catch {
      // It ended by itself.
    }
  }
}

/** All that is below a folder; none where it is not there. */
export const contentsOf = (folder: string): ReadonlyArray<string> => {
  try {
    return readdirSync(folder, { recursive: true }).map(String)
  } catch {
    return []
  }
}

/** What a process has open, by kind: `socket`, `pipe`, or a path. */
export const openBy = (pid: number): ReadonlyArray<string> =>
  readdirSync(`/proc/${pid}/fd`)
    .map((fd) => readable(() => readlinkSync(`/proc/${pid}/fd/${fd}`)))
    .filter((target) => target !== "")
