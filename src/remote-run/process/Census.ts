/** Keeps up who belongs to which agent. One look at /proc serves everyone who asks at the same time. */
import { Clock, Effect } from "effect"
import * as AgentFamily from "./AgentFamily.ts"
import * as ProcessTable from "./ProcessTable.ts"

/** Carries the cookie. sudo hands on variables of this prefix, and no program gives this one a meaning. */
export const cookieName = "LC_RUDDER_RELAY_AGENT"

/** The share of time that is spent looking is at most one in this many. */
const idleShare = 4
/** Milliseconds between two looks, at least. */
const pause = 15

export interface Census {
  /** Families that are looked for. */
  readonly families: Set<AgentFamily.AgentFamily>
  /** Looks; what the families then say is of a moment after the call. */
  readonly take: Effect.Effect<void>
}

/** Cookies of processes; a process keeps the environment it was forked with until it starts another program. */
class Cookies {
  private known = new Map<number, { readonly start: number; readonly cookie: string | undefined }>()
  /** No agent is older than the relay. */
  private readonly since = ProcessTable.find(process.pid)?.start ?? 0

  readonly of = (process: ProcessTable.Process): string | undefined => {
    if (process.start < this.since) return undefined
    const known = this.known.get(process.pid)
    if (known?.start === process.start) return known.cookie
    const environment = ProcessTable.environment(process.pid)
    const entry = environment?.split("\0").find((entry) => entry.startsWith(`${cookieName}=`))
    const cookie = entry?.slice(cookieName.length + 1)
    if (environment !== "") this.known.set(process.pid, { start: process.start, cookie })
    return cookie
  }

  keepOnly(table: ProcessTable.ProcessTable): void {
    for (const pid of this.known.keys()) if (!table.has(pid)) this.known.delete(pid)
  }
}

export const make = Effect.sync((): Census => {
  const families = new Set<AgentFamily.AgentFamily>()
  const cookies = new Cookies()
  const one = Effect.unsafeMakeSemaphore(1)
  let asked = 0
  let answered = 0
  let nextLook = 0

  const look = Effect.gen(function* () {
    yield* Effect.sleep(nextLook - (yield* Clock.currentTimeMillis))
    const asking = asked
    const started = yield* Clock.currentTimeMillis
    const table = yield* Effect.promise(ProcessTable.readAll)
    const found = AgentFamily.attribute(table, families, cookies.of)
    for (const [family, processes] of found) {
      family.members = new Map(processes.map((process) => [process.pid, process]))
      family.sessions = new Set(processes.map((process) => process.session))
    }
    cookies.keepOnly(table)
    answered = asking
    const ended = yield* Clock.currentTimeMillis
    nextLook = ended + Math.max(pause, idleShare * (ended - started))
  })

  const take = Effect.suspend(() => {
    const mine = ++asked
    return one.withPermits(1)(Effect.suspend(() => (answered >= mine ? Effect.void : look)))
  })
  return { families, take }
})
