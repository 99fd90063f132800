/**
 * A mark that all descendants of an agent inherit, whoever they run as, and that everybody may read.
 *
 * The environment can't be that where sudo runs the agent: only root reads the one of a root's process. So the mark is the
 * one property that fork, exec and sudo hand on, that /proc shows to all, and that does not matter: which parts of memory
 * a core dump would have.
 */
import * as fs from "node:fs"

export interface Marks {
  /** One that no process has; undefined when all are taken. Comes back by `give` or `rest`. */
  readonly take: () => number | undefined
  /** No process has it any more. */
  readonly give: (mark: number) => void
  /** Its family is over, but what an agent left behind may have it: it comes back when looks at all processes say so. */
  readonly rest: (mark: number) => void
  readonly resting: () => boolean
  /** Tells which marks a look at all processes has found; the look began when the marks in question were resting. */
  readonly seen: (marks: ReadonlySet<number>) => void
  /** The mark of a process that runs beside this one; undefined when it has none. */
  readonly of: (pid: number) => number | undefined
}

/** Filters have nine bits. */
const filters = 512

/** Core dump filters that an administrator could have set for their own purpose. */
const inUse: ReadonlySet<number> = new Set([
  0x00, 0x01, 0x03, 0x13, 0x1f, 0x23, 0x33, 0x37, 0x3f, 0x7f, 0xff, 0x1ff
])

const read = (pid: number | "self", name: string): string | undefined => {
  try {
    return fs.readFileSync(`/proc/${pid}/${name}`, "latin1")
  } catch {
    return undefined
  }
}

const filterOf = (pid: number | "self"): number => Number.parseInt(read(pid, "coredump_filter") ?? "", 16)

/**
 * After so many looks in a row in which no process has a mark, the mark is free. A single look misses a
 * process that was born during it, to a parent that ended before the look came there.
 */
const looksWithout = 2

/** Undefined on a system that has no such property. */
export const make = (): Marks | undefined => {
  const usual = filterOf("self")
  if (Number.isNaN(usual)) return undefined
  const controlGroup = read("self", "cgroup")
  const free = Array.from({ length: filters }, (_, filter) => filter).filter(
    (filter) => filter !== usual && !inUse.has(filter)
  )
  const all: ReadonlySet<number> = new Set(free)
  /** Each resting mark, with how many looks in a row have not seen it. */
  const resting = new Map<number, number>()
  return {
    take: () => free.shift(),
    give: (mark) => void free.push(mark),
    rest: (mark) => void resting.set(mark, 0),
    resting: () => resting.size > 0,
    seen: (marks) => {
      for (const [mark, looks] of resting)
        if (marks.has(mark)) resting.set(mark, 0)
        else if (looks < looksWithout) resting.set(mark, looks + 1)
        else {
          resting.delete(mark)
          free.push(mark)
        }
    },
    of: (pid) => {
      const filter = filterOf(pid)
      // Whoever sets a filter for its own sake is in another service.
      return all.has(filter) && read(pid, "cgroup") === controlGroup ? filter : undefined
    }
  }
}
