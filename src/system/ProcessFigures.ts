/** The six figures of a process that Prometheus' clients have, by the names that dashboards know: from node and `/proc`. */
import { readdirSync, readFileSync } from "node:fs"

/** A figure by its name. */
export interface ProcessFigure {
  readonly name: string
  readonly type: "counter" | "gauge"
  readonly help: string
  readonly value: number
}

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

/** Those that the system tells. */
export const figures = (): ReadonlyArray<ProcessFigure> => {
  const { user, system } = process.cpuUsage()
  const limit = /^Max open files\s+(\d+)/m.exec(read("/proc/self/limits"))?.[1]
  const virtual = /^VmSize:\s+(\d+) kB$/m.exec(read("/proc/self/status"))?.[1]
  const all: ReadonlyArray<ProcessFigure> = [
    {
      name: "process_cpu_seconds_total",
      type: "counter",
      help: "Total user and system CPU time spent in seconds.",
      value: (user + system) / 1e6
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
      value: process.memoryUsage.rss()
    },
    {
      name: "process_start_time_seconds",
      type: "gauge",
      help: "Start time of the process since unix epoch in seconds.",
      value: performance.timeOrigin / 1000
    },
    {
      name: "process_virtual_memory_bytes",
      type: "gauge",
      help: "Virtual memory size in bytes.",
      value: Number(virtual) * 1024
    }
  ]
  return all.filter(({ value }) => Number.isFinite(value))
}
