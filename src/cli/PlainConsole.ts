/** Colours only where a terminal shows them, and its user wants them. */
import { stripVTControlCharacters } from "node:util"
import { type Console, Effect } from "effect"
import * as Screen from "./Screen.ts"

const plain = (stream: NodeJS.WriteStream, values: ReadonlyArray<unknown>): ReadonlyArray<unknown> =>
  stream.isTTY === true && Screen.wantsColours
    ? values
    : values.map((value) => (typeof value === "string" ? stripVTControlCharacters(value) : value))

/** What the effect prints has no colour codes in a pipe or file, nor with `NO_COLOR`. */
export const withoutColours = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.consoleWith((console) => {
    const toOut = (values: ReadonlyArray<unknown>) => plain(process.stdout, values)
    const toErr = (values: ReadonlyArray<unknown>) => plain(process.stderr, values)
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
