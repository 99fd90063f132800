/** Looks again, while bodies are written, whether there is room: what was free when one began may have gone to others. */
import { Cause, Effect, Exit, Runtime } from "effect"

/** What all write together between two looks: bytes. */
const interval = 16 * 1024 * 1024

/**
 * To be called before so many bytes are written; undefined: they may be, at once. The promise is rejected with what
 * `check` fails with, and then whoever comes next is looked at too.
 */
export type RoomWatch = (size: number, isDoubtful?: boolean) => Promise<void> | undefined

/** @param check whether there is room for so many more bytes */
export const make = <E>(check: (size: number) => Effect.Effect<void, E>): Effect.Effect<RoomWatch> =>
  Effect.map(Effect.runtime(), (runtime) => {
    let written = 0
    const look = async (size: number) => {
      const looked = await Runtime.runPromiseExit(runtime)(check(size))
      if (Exit.isFailure(looked)) throw Cause.squash(looked.cause)
      written = size
    }
    return (size, isDoubtful = false) => {
      if (isDoubtful || written + size > interval) return look(size)
      written += size
      return undefined
    }
  })
