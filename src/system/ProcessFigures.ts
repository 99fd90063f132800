/** The six figures of a process that Prometheus' clients have, by the names that dashboards know: from `/proc`. */
import { readdirSync, readFileSync } from "node:fs"

/** A figure by its name. */
export interface ProcessFigure {
  readonly name: string
  readonly type: "counter" | "gauge"
  readonly help: string
  readonly value: number
}

/** Every Linux that node runs on counts so many ticks a second. */
const ticksPerSecond = 100
const pageSize = 4096

const read = (path: string): string => {
  try {
    return readFileSync(path, "utf8")
  } catch {
    return ""
  }
}

const openFiles = (): number => {
  try {
    // One of them is the folder that is being read.
    return readdirSync("/proc/self/fd").length - 1
  } catch {
    return Number.NaN
  }
}

/** Behind the name of the program, which may hold anything: the fields from the third on. */
const statOf = (text: string): ReadonlyArray<number> =>
  text
    .slice(text.lastIndexOf(")") + 2)
    .split(" ")
    .map(Number)

/** Those that the system tells. */
export const figures = (): ReadonlyArray<ProcessFigure> => {
  const stat = statOf(read("/proc/self/stat"))
  const field = (number: number): number => stat[number - 3] ?? Number.NaN
  const limit = /^Max open files\s+(\d+)/m.exec(read("/proc/self/limits"))?.[1]
  const booted = Number(/^btime (\d+)$/m.exec(read("/proc/stat"))?.[1])
  const all: ReadonlyArray<ProcessFigure> = [
    {
      name: "process_cpu_seconds_total",
      type: "counter",
      help: "Total user and system CPU time spent in seconds.",
      value: (field(14) + field(15)) / ticksPerSecond
    },
    {
      name: "process_max_fds",
      type: "gauge",
      help: "Maximum number of open file descriptors.",
      value: Number(limit)
    },
    { name: "process_open_fds", type: "gauge", help: "Number of open file descriptors.", value: openFiles() },
    {
      name: "process_resident_memory_bytes",
      type: "gauge",
      help: "Resident memory size in bytes.",
      value: field(24) * pageSize
    },
    {
      name: "process_start_time_seconds",
      type: "gauge",
      help: "Start time of the process since unix epoch in seconds.",
      value: booted + field(22) / ticksPerSecond
    },
    {
      name: "process_virtual_memory_bytes",
      type: "gauge",
      help: "Virtual memory size in bytes.",
      value: field(23)
    }
  ]
  return all.filter(({ value }) => Number.isFinite(value))
}
