/** Ids of runs: UUIDv7, so that they sort by the time at which their runs started. */
import { Schema } from "effect"
import { v7 } from "uuid"

/** Its form. */
export const pattern = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

/** The id of a run: a UUIDv7, which has the time of its making in it. */
export const RunId = Schema.String.pipe(
  Schema.pattern(pattern, {
    message: () => "expected a run's id (UUIDv7)"
  }),
  Schema.brand("RunId")
).annotations({ identifier: "RunId" })
export type RunId = typeof RunId.Type

/** The same as the schema says, for the names of very many files. */
export const isRunId = (text: string): text is RunId => pattern.test(text)

/** When the run of this id started: milliseconds since 1970. */
export const startedAt = (id: RunId): number => Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16)

/** Makes ids that sort by their making, also within one millisecond and when the clock steps back. */
export const generator = (): ((now: number) => RunId) => {
  let latest = 0
  let sequence = 0
  return (now) => {
    sequence = now > latest ? Math.floor(Math.random() * 2 ** 30) : sequence + 1
    latest = Math.max(now, latest)
    return RunId.make(v7({ msecs: latest, seq: sequence }))
  }
}
