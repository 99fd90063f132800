/** The script that completes this program's command line in bash. */
import { Command } from "@effect/cli"
import { Effect } from "effect"

/**
 * The script that @effect/cli makes uses two forms of the program's name: the name itself, and the name with `__` for
 * each dash. With a dash in the name the two differ, and options of subcommands are not completed. So here only the
 * second form is used.
 */
const mended = (line: string, name: string): string => {
  const inner = name.replaceAll("-", "__")
  const [indent = ""] = /^\s*/.exec(line) ?? []
  if (line.trim() === `cmd="${name}"`) return `${indent}cmd="${inner}"`
  return line.trim() === `${name})` ? `${indent}${inner})` : line
}

/** Lines of the script. */
export const bash = <Name extends string, R, E, A>(
  command: Command.Command<Name, R, E, A>,
  name: string
): Effect.Effect<ReadonlyArray<string>> =>
  Effect.map(Command.getBashCompletions(command, name), (lines) => lines.map((line) => mended(line, name)))

/** Whether a command line asks for it. */
export const asksForBash = (args: ReadonlyArray<string>): boolean =>
  args.some(
    (arg, place) =>
      /^--completions=(bash|sh)$/.test(arg) ||
      (arg === "--completions" && /^(bash|sh)$/.test(args[place + 1] ?? ""))
  )
