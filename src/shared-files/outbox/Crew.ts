/** Fibers that do one thing after another: to fork one for each delivery is as much work as to read what is sent. */
import { Effect, type Scope } from "effect"

/** Those that have nothing to do, each by what has it do something. */
export type Crew = Array<(job: Effect.Effect<unknown>) => void>

/**
 * Has a job done by one of them, or by one more where all have something to do: it ends with the scope, and is interrupted
 * only where the job lets it be. One that was interrupted finishes its job, and does no other.
 */
export const give = (crew: Crew, job: Effect.Effect<unknown>, scope: Scope.Scope): Effect.Effect<unknown> => {
  const free = crew.pop()
  if (free === undefined) return Effect.forkIn(Effect.uninterruptible(work(crew, job)), scope)
  free(job)
  return Effect.void
}

const work = (crew: Crew, job: Effect.Effect<unknown>): Effect.Effect<unknown> =>
  Effect.flatMap(job, () => next(crew))

const next = (crew: Crew): Effect.Effect<unknown> => {
  let job: Effect.Effect<unknown> | undefined
  let wake = () => {}
  const take = (given: Effect.Effect<unknown>) => {
    job = given
    wake()
  }
  crew.push(take)
  const wait = Effect.async<void>((resume) => {
    wake = () => resume(Effect.void)
    if (job !== undefined) wake()
  })
  return Effect.matchCauseEffect(Effect.interruptible(wait), {
    onFailure: (cause) => {
      if (job !== undefined) return Effect.zipRight(job, Effect.failCause(cause))
      crew.splice(crew.indexOf(take), 1)
      return Effect.failCause(cause)
    },
    onSuccess: () => work(crew, job ?? Effect.void)
  })
}
