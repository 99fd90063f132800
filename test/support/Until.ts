/** Waiting for what no clock of a test brings about: processes, sockets, the kernel. */
import { Effect } from "effect"

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
export const eventually = (holds: () => boolean, what = String(holds), seconds = 20): Effect.Effect<void> =>
  Effect.asVoid(Effect.promise((signal) => until(what, holds, seconds, signal)))
