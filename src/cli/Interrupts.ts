/** Ctrl-C and a request to end, where a command answers them itself. */
import { Effect, Queue, type Scope } from "effect"

const signals = ["SIGINT", "SIGTERM"] as const

/** What a command is told by: Ctrl-C, or whoever ends processes. */
export type Interrupt = (typeof signals)[number]

/**
 * While the scope lasts, these signals come here and end nothing of themselves: not the program's main fiber either, which
 * they interrupt otherwise.
 */
export const taken: Effect.Effect<Queue.Dequeue<Interrupt>, never, Scope.Scope> = Effect.gen(function* () {
  const queue = yield* Queue.unbounded<Interrupt>()
  const onSignal = (signal: Interrupt): void => void Queue.unsafeOffer(queue, signal)
  yield* Effect.acquireRelease(
    Effect.sync(() =>
      signals.map((signal) => {
        const others = process.listeners(signal)
        process.removeAllListeners(signal)
        process.on(signal, onSignal)
        return { signal, others }
      })
    ),
    (before) =>
      Effect.sync(() => {
        for (const { signal, others } of before) {
          process.off(signal, onSignal)
          for (const other of others) process.on(signal, other)
        }
      })
  )
  return queue
})
