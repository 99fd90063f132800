/** What stdout is, a terminal or not, and printing to it. */
import { stripVTControlCharacters } from "node:util"
import { Effect } from "effect"
import * as Printable from "../Printable.ts"
import { exitCode, StartError } from "./StartError.ts"

/** Where lines are printed. */
export interface Screen {
  /** A terminal that can move its cursor. */
  readonly isTerminal: boolean
  /** Whether colour codes may be printed: on a terminal, and without `NO_COLOR`: https://no-color.org */
  readonly colours: boolean
  /** How wide a line may be, in columns; it changes with the window. 80 where that is not known, and where it is no terminal. */
  readonly width: () => number
}

/** Whether the user wants colours where they are possible. */
export const wantsColours = !process.env.NO_COLOR

const usualWidth = 80

/** Which screen a stream of the process is. */
export const of = (stream: NodeJS.WriteStream): Screen => {
  const isTerminal = stream.isTTY === true && process.env.TERM !== "dumb"
  return {
    isTerminal,
    colours: isTerminal && wantsColours,
    width: () => (isTerminal && stream.columns > 0 ? stream.columns : usualWidth)
  }
}

/** stdout, as a screen. */
export const stdout: Screen = of(process.stdout)

const colour = /(\u001b\[[0-9;:]*m)/

/**
 * A line that somebody else wrote, such as a node, for this screen: of what moves the cursor or hides text, only tabs and
 * (where they may be printed) colours are left as they are.
 */
export const foreignLine = (text: string, { colours }: Screen): string => {
  if (!/[^\t -~]/.test(text)) return text
  const parts = text.split(colour)
  const shown = parts.map((part, place) => {
    if (place % 2 === 1) return colours ? part : ""
    return stripVTControlCharacters(part).split("\t").map(Printable.line).join("\t")
  })
  // A colour that a line begins ends with it.
  return shown.join("") + (colours && parts.length > 1 ? "\u001b[0m" : "")
}

/**
 * A line of JSON for this screen. On a terminal what others wrote can't move its cursor or turn its text; the escapes are
 * those of JSON, which says the same as before.
 */
export const jsonLine = (text: string, { isTerminal }: Screen): string =>
  isTerminal ? Printable.json(text) : text

const failure = (error: Error): StartError =>
  "code" in error && error.code === "EPIPE"
    ? new StartError({ code: exitCode.brokenPipe, message: "" })
    : new StartError({ code: exitCode.start, message: `can't write the output: ${error.message}` })

/**
 * Writes text, as it is, to stdout (or stderr), and waits until it is taken. A reader that went away, as `head` does, ends
 * the command without a word, with the code that a shell gives for SIGPIPE.
 */
export const write = (
  text: string | Uint8Array,
  stream: NodeJS.WriteStream = process.stdout
): Effect.Effect<void, StartError> =>
  text.length === 0
    ? Effect.void
    : Effect.async((resume) => {
        stream.write(text, (error) =>
          resume(error === undefined || error === null ? Effect.void : Effect.fail(failure(error)))
        )
      })
