/** The script that completes this program's command line in bash. */
import { Command } from "@effect/cli"
import { Effect } from "effect"

/**
 * What @effect/cli makes knows the program by its name, and what stands behind it by its name with `__` for each dash: of a
 * program that has a dash in its name it completes no subcommand's options. Here it is known by the second form alone.
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
