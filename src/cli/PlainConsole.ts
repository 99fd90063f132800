/** Colours only where a terminal shows them, and its user wants them: https://no-color.org */
import { stripVTControlCharacters } from "node:util"
import { type Console, Effect } from "effect"

const wantsColours = !process.env.NO_COLOR

const plain = (isTerminal: boolean, values: ReadonlyArray<unknown>): ReadonlyArray<unknown> =>
  isTerminal && wantsColours
    ? values
    : values.map((value) => (typeof value === "string" ? stripVTControlCharacters(value) : value))

/** What the effect prints has no colour codes in a pipe or file, nor with `NO_COLOR`. */
export const withoutColours = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.consoleWith((console) => {
    const toOut = (values: ReadonlyArray<unknown>) => plain(process.stdout.isTTY === true, values)
    const toErr = (values: ReadonlyArray<unknown>) => plain(process.stderr.isTTY === true, values)
    const plainConsole: Console.Console = {
      ...console,
      log: (...values) => console.log(...toOut(values)),
      error: (...values) => console.error(...toErr(values)),
      unsafe: {
        ...console.unsafe,
        log: (...values) => console.unsafe.log(...toOut(values)),
        error: (...values) => console.unsafe.error(...toErr(values))
      }
    }
    return Effect.withConsole(effect, plainConsole)
  })
