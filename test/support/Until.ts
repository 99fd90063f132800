/** Waiting for what no clock of a test brings about: processes, sockets, the kernel. */
import { Effect } from "effect"
import * as EventLoop from "../../src/EventLoop.ts"

/** Polls until a condition holds; the limit is there to end a test that fails, not to measure. */
export const until = async <A>(
  what: string,
  probe: () => A | Promise<A>,
  seconds = 30,
  signal?: AbortSignal
): Promise<NonNullable<A>> => {
  const end = Date.now() + seconds * 1000
  while (Date.now() < end) {
    signal?.throwIfAborted()
    const found = await probe()
    if (found !== undefined && found !== null && found !== false) return found
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  throw new Error(`waited ${seconds} s in vain: ${what}`)
}

/** The same as an Effect, in real time whatever clock the test has. A condition speaks for itself. */
export const eventually = (
  condition: () => boolean,
  what = String(condition),
  seconds = 20
): Effect.Effect<void> => Effect.asVoid(Effect.promise((signal) => until(what, condition, seconds, signal)))

/** The same of a condition that is an Effect, looked at whenever the event loop has come round. */
export const holds = <E, R>(
  what: string,
  condition: Effect.Effect<boolean, E, R>,
  seconds = 20
): Effect.Effect<void, E, R> =>
  Effect.gen(function* () {
    const end = Date.now() + seconds * 1000
    while (!(yield* condition)) {
      if (Date.now() >= end) return yield* Effect.die(new Error(`waited ${seconds} s in vain: ${what}`))
      yield* EventLoop.turn
    }
  })
