/** What the log says of refused callers: so many lines a minute for each, and never so much that callers can fill a disk with it. */
import { Clock, Duration, Effect, Schedule, type Scope } from "effect"
import { RequestId } from "../http/RequestId.ts"
import { CurrentReport, isInRequest } from "../RequestReport.ts"

const minute = Duration.minutes(1)
const interval = Duration.toMillis(minute)

/** Who was refused, and what would change that. */
export interface Refusal {
  /** The address that was looked at. */
  readonly address: string
  /** The configuration key that would let it in. */
  readonly key: string
  /** What else tells an administrator who it was. */
  readonly about?: Readonly<Record<string, string>>
}

/** How many lines a minute there are at most. */
export interface Bounds {
  readonly ofOne: number
  readonly ofAll: number
}

/**
 * Writes a warning, unless there were too many of this kind in the last minute, or of all. How many were left out is told
 * with the next line, or by a line of its own where none comes for a minute.
 *
 * @param kind what counts as the same refusal
 */
export type BoundedLog = (
  message: string,
  kind: string,
  annotations: Readonly<Record<string, unknown>>
) => Effect.Effect<void>

interface Written {
  /** When the first of them was. */
  readonly since: number
  lines: number
}

/** A log of its own: what it has told of, and when, is forgotten with it. With its scope it says what is left to say. */
export const bounded = (bounds: Bounds): Effect.Effect<BoundedLog, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { write, rest } = boundedParts(bounds)
    yield* Effect.addFinalizer(() => rest)
    yield* Effect.forkScoped(Effect.repeat(rest, Schedule.spaced(minute)))
    return write
  })

const boundedParts = ({ ofOne, ofAll }: Bounds) => {
  /** Oldest first. */
  const written = new Map<string, Written>()
  let lines = 0
  let omitted = 0

  const forget = (now: number) => {
    for (const [kind, { since, lines: count }] of written) {
      if (now - since < interval) return
      written.delete(kind)
      lines -= count
    }
  }

  const rest = Effect.suspend(() => {
    if (omitted === 0) return Effect.void
    const line = Effect.annotateLogs(Effect.logWarning("refusals had no line of their own"), { omitted })
    omitted = 0
    return line
  })

  const write: BoundedLog = (message, kind, annotations) =>
    Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      forget(now)
      const before = written.get(kind) ?? { since: now, lines: 0 }
      if (before.lines >= ofOne) {
        // Of one line a minute nobody wonders how many there were.
        if (ofOne > 1) omitted++
        return
      }
      if (lines >= ofAll) {
        omitted++
        return
      }
      before.lines++
      lines++
      written.set(kind, before)
      const more = omitted > 0 ? { omitted } : {}
      omitted = 0
      yield* Effect.logWarning(message).pipe(Effect.annotateLogs({ ...annotations, ...more }))
    })

  return { write, rest }
}

/**
 * Logs a refusal as a warning, unless one of the same address and key was logged in the last minute, or 200 of others
 * were. It is the line of the request in which it happens.
 */
export type RefusalLog = (message: string, refusal: Refusal) => Effect.Effect<void>

/** A log of its own. */
export const make: Effect.Effect<RefusalLog, never, Scope.Scope> = Effect.gen(function* () {
  const write = yield* bounded({ ofOne: 1, ofAll: 200 })
  return (message, { about, address, key }) =>
    Effect.gen(function* () {
      const request = yield* RequestId
      const report = yield* CurrentReport
      report.told()
      yield* write(message, `${key} ${address}`, {
        address,
        key,
        ...about,
        ...(request === "" ? {} : { request }),
        ...(isInRequest(report)
          ? { method: report.method, route: report.route, status: 403, tag: "AccessDenied" }
          : {})
      })
    })
})
