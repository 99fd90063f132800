/** One at a time for each file, and of two that write it, the one whose request began later wins. */
import { Clock, Context, Effect, Exit, type Fiber, type Scope } from "effect"
import * as Acquired from "../Acquired.ts"
import * as Line from "../Line.ts"

/** A request to write a file. */
export interface Turn {
  /** When it began: milliseconds since 1970. */
  readonly began: number
  /**
   * Alone with the file, and only if no request that began later has written it: then nothing is done, as if this one
   * had been replaced. Nothing interrupts the effect, but the wait for it.
   */
  readonly write: <E, R>(effect: Effect.Effect<void, E, R>) => Effect.Effect<void, E, R>
}

/** The locks of files, by their names. A name is any text that stands for one file. */
export interface FileLocks {
  /**
   * Whether nobody is at the file now: who only looks, and at once, need not wait then. Its name is asked for where anybody
   * is at any file.
   */
  readonly isFree: (name: () => string) => boolean
  /**
   * Alone with the file from now on, until the function that it gives is called; undefined: somebody is at it. For where
   * nothing interrupts.
   */
  readonly take: (name: string) => (() => void) | undefined
  /** Alone with the file. */
  readonly alone: (name: string) => <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** A request to write this file begins; it ends with the scope. */
  readonly turn: (name: string) => Effect.Effect<Turn, never, Scope.Scope>
  /** A request that began before all others of now: whatever is written meanwhile wins. */
  readonly pastTurn: (name: string) => Effect.Effect<Turn, never, Scope.Scope>
}

interface Lock {
  isHeld: boolean
  /** Those who wait to hold it, in their order. */
  readonly waiting: Line.Line
  users: number
  begun: number
  /** The latest turn that was written. */
  written: number
}

const release = (lock: Lock): void => {
  if (!Line.handOver(lock.waiting)) lock.isHeld = false
}

interface HoldingOptions {
  readonly end?: (lock: Lock) => void
  readonly done?: (lock: Lock) => void
  readonly isWhole?: boolean
}

/**
 * Holds the lock that `begin` gives while the effect runs, which is asked for (and must not throw) once it is held; `end` is
 * called behind it, or where it was not waited for, and before that `done` where the effect succeeded. Where it `isWhole`,
 * nothing interrupts it but the wait. Nobody else is at the
 * file, as a rule: then this costs nothing, while a permit of a semaphore, even one that is free, costs a turn of the
 * scheduler.
 */
const holding = <A, E, R>(
  begin: () => Lock,
  effect: () => Effect.Effect<A, E, R>,
  { end = () => {}, done = () => {}, isWhole = false }: HoldingOptions = {}
): Effect.Effect<A, E, R> =>
  Effect.uninterruptibleMask((restore) => {
    const lock = begin()
    const ended = (exit: Exit.Exit<A, E>) => {
      if (Exit.isSuccess(exit)) done(lock)
      release(lock)
      end(lock)
      return exit
    }
    const held = () =>
      Effect.matchCauseEffect(isWhole ? effect() : restore(effect()), {
        onFailure: (cause) => ended(Exit.failCause(cause)),
        onSuccess: (value) => ended(Exit.succeed(value))
      })
    // From the look at the lock to the place in its line nothing may come between: a fiber may yield at any step.
    if (!lock.isHeld) {
      lock.isHeld = true
      return held()
    }
    const { wait, giveUp } = Line.stand(lock.waiting, () => release(lock))
    const left = Effect.sync(() => {
      giveUp()
      end(lock)
    })
    return Effect.flatMap(
      Effect.onInterrupt(restore(wait), () => left),
      held
    )
  })

/** Nothing is held for a file that nobody is at. */
export const make = (): FileLocks => {
  const locks = new Map<string, Lock>()

  const enter = (name: string): Lock => {
    const found = locks.get(name)
    const lock = found ?? { isHeld: false, waiting: [], users: 0, begun: 0, written: 0 }
    lock.users++
    if (found === undefined) locks.set(name, lock)
    return lock
  }

  const leave = (name: string, lock: Lock) => {
    if (--lock.users === 0) locks.delete(name)
  }

  const begin = (
    name: string,
    turnOf: (lock: Lock, fiber: Fiber.RuntimeFiber<unknown, unknown>) => Turn
  ): Effect.Effect<Turn, never, Scope.Scope> =>
    Acquired.acquireWith((fiber) => {
      const lock = enter(name)
      return { made: turnOf(lock, fiber), release: () => leave(name, lock) }
    })

  return {
    isFree: (name) => locks.size === 0 || !locks.has(name()),
    take: (name) => {
      if (locks.get(name)?.isHeld === true) return undefined
      const lock = enter(name)
      lock.isHeld = true
      return () => {
        release(lock)
        leave(name, lock)
      }
    },
    alone: (name) => (effect) =>
      holding(
        () => enter(name),
        () => effect,
        { end: (lock) => leave(name, lock) }
      ),
    turn: (name) =>
      begin(name, (lock, { currentDefaultServices }) => {
        const turn = ++lock.begun
        const done = () => {
          lock.written = Math.max(lock.written, turn)
        }
        return {
          began: Context.get(currentDefaultServices, Clock.Clock).unsafeCurrentTimeMillis(),
          write: (effect) =>
            holding(
              () => lock,
              () => (lock.written > turn ? Effect.void : effect),
              { done, isWhole: true }
            )
        }
      }),
    pastTurn: (name) =>
      begin(name, (lock) => {
        const before = lock.written
        return {
          began: 0,
          write: (effect) =>
            holding(
              () => lock,
              () => (lock.written > before ? Effect.void : effect),
              { isWhole: true }
            )
        }
      })
  }
}
