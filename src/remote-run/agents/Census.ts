/** Keeps up which process belongs to which agent. One look at /proc serves everyone who asks at the same time. */
import { Clock, Effect, Schedule, type Scope } from "effect"
import * as Permits from "../../Permits.ts"
import * as AgentFamily from "./AgentFamily.ts"
import type { Marks } from "./Marks.ts"
import * as ProcessTable from "./ProcessTable.ts"

/** Carries the cookie. sudo hands on variables of this prefix, and no program gives this one a meaning. */
export const cookieName = "LC_RUDDER_RELAY_AGENT"

/** After a look at all processes the next one waits for this many times as long as the look took. */
const idleShare = 4
/** Milliseconds between two looks, at least. */
const pause = 15

export interface Census {
  /** Families that are looked for. */
  readonly families: ReadonlySet<AgentFamily.AgentFamily>
  readonly add: (family: AgentFamily.AgentFamily) => void
  /** No process of the family is left: its mark is free again. */
  readonly forget: (family: AgentFamily.AgentFamily) => void
  /**
   * The family's agent is over, and nobody is ending it. Processes that it left may stay, and belong to no agent; its mark
   * rests until they are gone.
   */
  readonly leave: (family: AgentFamily.AgentFamily) => void
  /** Looks at all processes: afterwards the families' members are those of a moment after the call. */
  readonly take: Effect.Effect<void>
}

const none: AgentFamily.Traces = { cookie: undefined, mark: undefined }

/** What processes have on them; each is looked at once, since they have it from their birth. */
class SeenTraces {
  private readonly seen = new Map<number, { readonly start: number; readonly traces: AgentFamily.Traces }>()
  /** No agent is older than the relay. */
  private readonly since = ProcessTable.find(process.pid)?.start ?? 0
  private readonly marks: Marks | undefined

  constructor(marks: Marks | undefined) {
    this.marks = marks
  }

  readonly of = ({ pid, start }: ProcessTable.Process): AgentFamily.Traces => {
    if (start < this.since || pid === process.pid) return none
    const seen = this.seen.get(pid)
    if (seen?.start === start) return seen.traces
    const environment = ProcessTable.environment(pid)
    const entry = environment?.split("\0").find((entry) => entry.startsWith(`${cookieName}=`))
    const traces = { cookie: entry?.slice(cookieName.length + 1), mark: this.marks?.of(pid) }
    // One that is just about to start its program shows nothing yet.
    if (environment !== "") this.seen.set(pid, { start, traces })
    return traces
  }

  /** The marks of all these processes. */
  marksOf(table: ProcessTable.ProcessTable): ReadonlySet<number> {
    const found = new Set<number>()
    for (const process of table.values()) {
      const { mark } = this.of(process)
      if (mark !== undefined) found.add(mark)
    }
    return found
  }

  keepOnly(table: ProcessTable.ProcessTable): void {
    for (const pid of this.seen.keys()) if (!table.has(pid)) this.seen.delete(pid)
  }
}

/** While marks rest, it looks by itself whether they come back. */
export const make = (marks: Marks | undefined): Effect.Effect<Census, never, Scope.Scope> =>
  Effect.gen(function* () {
    const families = new Set<AgentFamily.AgentFamily>()
    const traces = new SeenTraces(marks)
    const alone = Permits.make(1)
    let asked = 0
    let answered = 0
    let nextLook = 0

    const look = Effect.gen(function* () {
      yield* Effect.sleep(nextLook - (yield* Clock.currentTimeMillis))
      const asking = asked
      const started = yield* Clock.currentTimeMillis
      const table = yield* Effect.promise(ProcessTable.readAll)
      for (const [family, processes] of AgentFamily.attribute(table, families, traces.of)) {
        family.members = new Map(processes.map((process) => [process.pid, process]))
        family.sessions = new Set(processes.map((process) => process.session))
      }
      if (marks?.resting() === true) marks.seen(traces.marksOf(table))
      traces.keepOnly(table)
      answered = asking
      const ended = yield* Clock.currentTimeMillis
      nextLook = ended + Math.max(pause, idleShare * (ended - started))
    })

    const take = Effect.suspend(() => {
      const mine = ++asked
      return alone(Effect.suspend(() => (answered >= mine ? Effect.void : look)))
    })
    if (marks !== undefined)
      yield* Effect.suspend(() => (marks.resting() ? take : Effect.void)).pipe(
        Effect.repeat(Schedule.spaced("2 seconds")),
        Effect.forkScoped
      )

    return {
      families,
      add: (family) => void families.add(family),
      forget: (family) => {
        if (families.delete(family) && family.mark !== undefined) marks?.give(family.mark)
      },
      leave: (family) => {
        if (family.isEnding !== true && families.delete(family) && family.mark !== undefined)
          marks?.rest(family.mark)
      },
      take
    }
  })
