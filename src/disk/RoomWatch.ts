/** Looks again, while bodies are written, whether there is room: what was free when one began may have gone to others. */
import { Effect } from "effect"

/** What all write together between two looks: bytes. */
const interval = 16 * 1024 * 1024

/**
 * To be called before so many bytes are written; undefined: they may be written at once. Otherwise the effect looks whether
 * there is room, and fails where there is none; then the room is looked at for the next write too.
 */
export type RoomWatch<E> = (size: number, isDoubtful?: boolean) => Effect.Effect<void, E> | undefined

/** @param check whether there is room for so many more bytes */
export const make = <E>(check: (size: number) => Effect.Effect<void, E>): RoomWatch<E> => {
  let written = 0
  return (size, isDoubtful = false) => {
    if (isDoubtful || written + size > interval)
      return Effect.map(check(size), () => {
        written = size
      })
    written += size
    return undefined
  }
}
