/** Ends agents with all their processes. */
import { type Duration, Effect, Schedule } from "effect"
import * as AgentFamily from "./AgentFamily.ts"
import type { Census } from "./Census.ts"
import type { Process } from "./ProcessTable.ts"
import * as Signals from "./Signals.ts"

/** Ends families, and counts the processes that would not go. */
export interface Reaper {
  /** SIGTERM, after the grace SIGKILL; returns when all are gone, or can't be made to go. */
  readonly end: (family: AgentFamily.AgentFamily) => Effect.Effect<void>
  /** Processes that could not be made to go and are still there. */
  readonly unkillable: Effect.Effect<number>
}

export interface ReaperOptions {
  readonly census: Census
  readonly killGrace: Duration.Duration
}

/** A killed process that is not gone by then sits in the kernel, and may for hours. */
const stuckAfter = "2 seconds"

const poll = Schedule.exponential("15 millis", 1.2).pipe(Schedule.union(Schedule.spaced("100 millis")))

/** At its end no family is left, but for the unkillable. */
export const make = ({ census, killGrace }: ReaperOptions) =>
  Effect.gen(function* () {
    const unkillable = new Set<AgentFamily.AgentFamily>()

    const end: Reaper["end"] = Effect.fn("AgentProcess.end")(function* (family) {
      family.isEnding = true
      const gone =
        (yield* signal(census, family, "SIGTERM", killGrace)) ||
        (yield* signal(census, family, "SIGKILL", stuckAfter))
      if (gone) return census.forget(family)
      unkillable.add(family)
      yield* Effect.logWarning("processes of an agent can't be ended").pipe(
        Effect.annotateLogs({ pids: [...family.members.keys()].join(" ") })
      )
    }, Effect.uninterruptible)

    const recount = Effect.gen(function* () {
      if (unkillable.size === 0) return
      yield* census.take
      for (const family of unkillable)
        if (AgentFamily.left(family) === 0) {
          unkillable.delete(family)
          census.forget(family)
        }
    })

    yield* Effect.addFinalizer(() =>
      Effect.suspend(() =>
        Effect.forEach(
          Array.from(census.families).filter((family) => !unkillable.has(family)),
          end,
          { concurrency: "unbounded", discard: true }
        )
      )
    )
    yield* Effect.forkScoped(Effect.repeat(recount, Schedule.spaced("2 seconds")))

    const reaper: Reaper = {
      end,
      unkillable: Effect.sync(() => {
        let count = 0
        for (const family of unkillable) count += AgentFamily.left(family)
        return count
      })
    }
    return reaper
  })

/**
 * Sends the signal once to every member, those that turn up meanwhile included, until all are gone (true) or time is
 * up. Where the daemon may not send it, the end is waited for all the same; only SIGKILL is then given up at once.
 */
const signal = (
  census: Census,
  family: AgentFamily.AgentFamily,
  name: "SIGTERM" | "SIGKILL",
  limit: Duration.DurationInput
): Effect.Effect<boolean> => {
  const told = new Map<number, { readonly start: number; readonly sent: Signals.Sent }>()
  let toldGroup: Signals.Sent | undefined

  const toMember = (member: Process): Signals.Sent => {
    const before = told.get(member.pid)
    if (before?.start === member.start) return before.sent
    const sent = Signals.toProcess(member, name)
    told.set(member.pid, { start: member.start, sent })
    return sent
  }
  /** True when no member may be signalled, so that waiting for the signal's effect is of no use. */
  const toAll = (): boolean => {
    if (family.members.size === 0) {
      // Where /proc is hidden no member can be seen; but until the leader has been waited for, no other group has its number.
      toldGroup ??=
        family.leader === undefined || family.exited() ? "Gone" : Signals.toGroup(family.leader, name)
      return toldGroup === "Denied"
    }
    const oldestFirst = Array.from(family.members.values()).sort((a, b) => a.start - b.start || a.pid - b.pid)
    return oldestFirst.map(toMember).every((sent) => sent === "Denied")
  }
  return census.take.pipe(
    Effect.map(toAll),
    Effect.repeat({
      until: (useless) => AgentFamily.left(family) === 0 || (useless && name === "SIGKILL"),
      schedule: poll.pipe(Schedule.intersect(Schedule.recurUpTo(limit)))
    }),
    Effect.map(() => AgentFamily.left(family) === 0)
  )
}
