/**
 * Lines of those who wait for one thing that is handed from one to the next. A semaphore's permit is lost where its wait is
 * interrupted in the turn that it is given in, and costs a turn of the scheduler also where it is free.
 */
import { Effect } from "effect"

/** Those who wait, in their order. */
export type Line = Array<() => void>

/** A place in a line. */
export interface Place {
  /** Succeeds once it is handed over. */
  readonly wait: Effect.Effect<void>
  /** For who does not wait any more: what was just handed over is handed on. */
  readonly giveUp: () => void
}

/** A place at the end, taken at once. @param handOn what is to be done with what nobody wants to have any more */
export const stand = (line: Line, handOn: () => void): Place => {
  let isMine = false
  let wake = () => {}
  const handOver = () => {
    isMine = true
    wake()
  }
  line.push(handOver)
  return {
    wait: Effect.async<void>((resume) => {
      wake = () => resume(Effect.void)
      if (isMine) wake()
    }),
    giveUp: () => {
      if (isMine) handOn()
      else line.splice(line.indexOf(handOver), 1)
    }
  }
}

/** Hands it over to the first; false: nobody waits. */
export const handOver = (line: Line): boolean => {
  const next = line.shift()
  next?.()
  return next !== undefined
}
