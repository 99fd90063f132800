/** Output with one line of progress below it, where stdout is a terminal; elsewhere the output alone. */
import { Effect, Schedule, type Scope } from "effect"
import * as Screen from "../Screen.ts"
import type { StartError } from "../StartError.ts"

/** Prints what a run says. */
export interface LiveScreen {
  readonly screen: Screen.Screen
  /** Prints whole lines on stdout, and others on stderr, above the line of progress. */
  readonly print: (lines: string | Uint8Array, errors?: string) => Effect.Effect<void, StartError>
  /** Shows the line of progress while the scope lasts, and takes it away at its end. */
  readonly progress: (line: (width: number) => string) => Effect.Effect<void, never, Scope.Scope>
}

const restingPlace = "\r\u001b[K"

/** How often the line is written anew. */
const interval = "250 millis"

/** What stands in the last row of the terminal; nothing: no progress is shown. */
interface Shown {
  line: ((width: number) => string) | undefined
}

// One column stays free: a character in the last one has some terminals begin another row.
const lineOf = ({ line }: Shown, screen: Screen.Screen) =>
  line === undefined ? "" : line(screen.width() - 1)

/** A screen on these streams, which are the process's own but in tests. */
export const make = (
  stdout: NodeJS.WriteStream = process.stdout,
  stderr: NodeJS.WriteStream = process.stderr
): LiveScreen => {
  const screen = Screen.of(stdout)
  const errorsBeside = Screen.of(stderr).isTerminal && screen.isTerminal
  const shown: Shown = { line: undefined }
  const around = (text: string) =>
    shown.line === undefined ? text : `${restingPlace}${text}${lineOf(shown, screen)}`
  const print = (lines: string | Uint8Array, errors = "") => {
    const out =
      typeof lines !== "string" || lines === "" ? Effect.succeed(lines) : Effect.sync(() => around(lines))
    const written = Effect.flatMap(out, (text) => Screen.write(text, stdout))
    if (errors === "") return written
    if (!errorsBeside || shown.line === undefined)
      return Effect.zipRight(written, Screen.write(errors, stderr))
    return written.pipe(
      Effect.zipRight(Screen.write(restingPlace, stdout)),
      Effect.zipRight(Screen.write(errors, stderr)),
      Effect.zipRight(Effect.suspend(() => Screen.write(lineOf(shown, screen), stdout)))
    )
  }
  const progress = (line: (width: number) => string) => {
    if (!screen.isTerminal) return Effect.void
    const draw = Effect.suspend(() => Screen.write(around(""), stdout))
    return Effect.acquireRelease(
      Effect.sync(() => {
        shown.line = line
      }),
      () =>
        Effect.suspend(() => {
          shown.line = undefined
          return Effect.ignore(Screen.write(restingPlace, stdout))
        })
    ).pipe(
      // What keeps it from being drawn ends the command where its output is printed.
      Effect.zipRight(Effect.forkScoped(Effect.ignore(Effect.repeat(draw, Schedule.spaced(interval))))),
      Effect.asVoid
    )
  }
  return { screen, print, progress }
}
