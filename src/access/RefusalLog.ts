/** What the log says of refused callers: once a minute for each, and never so much that callers can fill a disk with it. */
import { Clock, Duration, Effect } from "effect"
import { RequestId } from "../http/RequestId.ts"

const interval = Duration.toMillis("1 minute")
const maxLines = 200

/** Who was refused, and what would change that. */
export interface Refusal {
  /** The address that was looked at. */
  readonly address: string
  /** The configuration key that would let it in. */
  readonly key: string
  /** What else tells an administrator who it was. */
  readonly about?: Readonly<Record<string, string>>
}

/**
 * Logs a refusal as a warning, unless one of the same address and key was logged in the last minute, or 200 of others
 * were; how many those others left out is told with the next line.
 */
export type RefusalLog = (message: string, refusal: Refusal) => Effect.Effect<void>

/** A log of its own: who it has told of, and when, is forgotten with it. */
export const make: Effect.Effect<RefusalLog> = Effect.sync(() => {
  /** When each was logged, oldest first. */
  const logged = new Map<string, number>()
  let omitted = 0

  const forget = (now: number) => {
    for (const [entry, at] of logged) {
      if (now - at < interval) return
      logged.delete(entry)
    }
  }

  return (message, { about, address, key }) =>
    Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      forget(now)
      const entry = `${key} ${address}`
      if (logged.has(entry)) return
      if (logged.size >= maxLines) {
        omitted++
        return
      }
      logged.set(entry, now)
      const request = yield* RequestId
      const annotations = {
        address,
        key,
        ...about,
        ...(request === "" ? {} : { request }),
        ...(omitted > 0 ? { omitted } : {})
      }
      omitted = 0
      yield* Effect.logWarning(message).pipe(Effect.annotateLogs(annotations))
    })
})
