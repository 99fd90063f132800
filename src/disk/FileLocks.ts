/** One at a time for each file, and of two that write it, the one whose request began later wins. */
import { Clock, Effect, type Scope } from "effect"

/** A request to write a file. */
export interface Turn {
  /** When it began: milliseconds since 1970. */
  readonly began: number
  /**
   * Alone with the file, and only if no request that began later has written it: then nothing is done, as if this one
   * had been replaced.
   */
  readonly write: <E, R>(effect: Effect.Effect<void, E, R>) => Effect.Effect<void, E, R>
}

/** The locks of files, by their names. A name is any text that stands for one file. */
export interface FileLocks {
  /** Whether nobody is at the file now: who only looks, and at once, need not wait then. */
  readonly isFree: (name: string) => boolean
  /** Alone with the file. */
  readonly alone: (name: string) => <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** A request to write this file begins; it ends with the scope. */
  readonly turn: (name: string) => Effect.Effect<Turn, never, Scope.Scope>
  /** A request that began before all others of now: whatever is written meanwhile wins. */
  readonly pastTurn: (name: string) => Effect.Effect<Turn, never, Scope.Scope>
}

interface Lock {
  readonly semaphore: Effect.Semaphore
  users: number
  begun: number
  /** The latest turn that was written. */
  written: number
}

/** Nothing is held for a file that nobody is at. */
export const make = (): FileLocks => {
  const locks = new Map<string, Lock>()

  const leave = (name: string, lock: Lock) =>
    Effect.sync(() => {
      if (--lock.users === 0) locks.delete(name)
    })

  const using = (name: string): Effect.Effect<Lock, never, Scope.Scope> =>
    Effect.acquireRelease(
      Effect.sync(() => {
        const found = locks.get(name)
        const lock = found ?? { semaphore: Effect.unsafeMakeSemaphore(1), users: 0, begun: 0, written: 0 }
        lock.users++
        locks.set(name, lock)
        return lock
      }),
      (lock) => leave(name, lock)
    )

  /**
   * Nobody is at the file, as a rule. Then its lock is held from the moment it is made on: to take a permit, even one that
   * is free, costs a turn of the scheduler.
   */
  const enterFree = (name: string) =>
    Effect.sync(() => {
      const lock = { semaphore: Effect.unsafeMakeSemaphore(0), users: 1, begun: 0, written: 0 }
      locks.set(name, lock)
      return lock
    })

  return {
    isFree: (name) => !locks.has(name),
    alone: (name) => (effect) =>
      Effect.suspend(() =>
        locks.has(name)
          ? Effect.scoped(Effect.flatMap(using(name), (lock) => lock.semaphore.withPermits(1)(effect)))
          : Effect.acquireUseRelease(
              enterFree(name),
              () => effect,
              (lock) => Effect.andThen(lock.semaphore.release(1), leave(name, lock))
            )
      ),
    turn: (name) =>
      Effect.zipWith(using(name), Clock.currentTimeMillis, (lock, began) => {
        const turn = ++lock.begun
        return {
          began,
          write: (effect) =>
            lock.semaphore.withPermits(1)(
              Effect.suspend(() => {
                if (lock.written > turn) return Effect.void
                return Effect.tap(effect, () => {
                  lock.written = turn
                })
              })
            )
        }
      }),
    pastTurn: (name) =>
      Effect.map(using(name), (lock) => {
        const before = lock.written
        return {
          began: 0,
          write: (effect) =>
            lock.semaphore.withPermits(1)(
              Effect.suspend(() => (lock.written > before ? Effect.void : effect))
            )
        }
      })
  }
}
