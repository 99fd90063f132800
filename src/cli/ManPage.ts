/** The program's man page, in the `man` macros of roff. */

import * as CommandLine from "./CommandLine.ts"
import type { CommandTree, OptionText } from "./CommandTree.ts"
import * as CommandTreeOf from "./CommandTree.ts"
import { optionDescription, sentence, synopsis, valueText } from "./Help.ts"
import * as HelpText from "./HelpText.ts"
import * as TextWidth from "./TextWidth.ts"

/** Text in which nothing is a command of roff's: a dash is the one that is typed, so that it can be copied. */
export const escape = (text: string): string =>
  text.replaceAll("\\", "\\(rs").replaceAll("-", "\\-").replaceAll("'", "\\(aq").replaceAll("…", "\\&...")

const bold = (text: string): string => `\\fB${escape(text)}\\fR`
const italic = (text: string): string => `\\fI${escape(text)}\\fR`

/** Lines of a source: none begins as a command of roff's does. Columns. */
const sourceWidth = 70

const prose = (text: string): ReadonlyArray<string> =>
  TextWidth.wrap(text, sourceWidth).map((line) => escape(line).replace(/^\./, "\\&."))

const sentences = (texts: ReadonlyArray<string>) => prose(texts.map(sentence).join(" "))

/** A name, and what it means. */
const entry = (name: string, meaning: string): ReadonlyArray<string> => [".TP", name, ...prose(meaning)]

const option = (one: OptionText): ReadonlyArray<string> => {
  const names = [...one.names].sort((first, other) => first.length - other.length).map(bold)
  const value = one.value === undefined ? "" : ` ${italic(valueText(one.value))}`
  return entry(names.join(", ") + value, sentence(optionDescription(one)))
}

const examples = ({ examples }: HelpText.HelpText): ReadonlyArray<string> =>
  examples.flatMap(([line, meaning]) => [
    ".PP",
    ...prose(meaning),
    ".PP",
    ".RS 4",
    ".nf",
    bold(line),
    ".fi",
    ".RE"
  ])

/** The options by which a relay is said are told once, for all commands. */
const isOfRelay = (relay: ReadonlySet<string>) => (one: OptionText) => relay.has(one.names[0] ?? "")

/** A command that does alone what one below it does has the same options: they are told there. */
const ownOptions = ({ commands, options }: CommandTree): ReadonlyArray<OptionText> => {
  const names = (all: ReadonlyArray<OptionText>) => all.map((one) => one.names[0]).join(" ")
  return commands.some((one) => names(one.options) === names(options)) ? [] : options
}

const command = (
  program: CommandTree,
  path: ReadonlyArray<string>,
  one: CommandTree,
  relay: ReadonlySet<string>
): ReadonlyArray<string> => {
  const text = HelpText.of(path)
  const isShared = isOfRelay(relay)
  return [
    `.SS ${bold(synopsis(program.name, path, one))}`,
    ...sentences([one.description, ...(text.more ?? [])]),
    ...one.operands.flatMap((operand) => entry(italic(valueText(operand)), sentence(operand.description))),
    ...ownOptions(one)
      .filter((each) => !isShared(each))
      .flatMap(option),
    ...(text.no === undefined ? [] : [".PP", ...prose(`Exit code 1: ${sentence(text.no)}`)]),
    ...examples(text)
  ]
}

/** Options that all commands have which ask a relay, but for `--json`. */
const relayOptions = (program: CommandTree): ReadonlyArray<OptionText> => {
  const asking = CommandTreeOf.all(program)
    .map(({ command }) => command)
    .filter(HelpText.asks)
  const [first] = asking
  return (first?.options ?? []).filter(({ names: [name] }) =>
    asking.every(({ options }) => options.some(({ names }) => names[0] === name))
  )
}

/**
 * The page.
 *
 * @param date of the page, as `2026-01-05`
 */
export const render = (program: CommandTree, version: string, date: string): string => {
  const shared = relayOptions(program)
  const relay = new Set(shared.map(({ names }) => names[0] ?? ""))
  const about = HelpText.of([])
  const name = program.name.toUpperCase()
  const lines = [
    `.TH ${escape(name)} 1 ${date} "${program.name} ${version}" "Rudder"`,
    ".SH NAME",
    `${escape(program.name)} \\- the relay of a Rudder fleet`,
    ".SH SYNOPSIS",
    `${bold(program.name)} [\\fIoptions\\fR]`,
    ".br",
    `${bold(program.name)} \\fICOMMAND\\fR [\\fIoptions\\fR] ...`,
    ".SH DESCRIPTION",
    ...sentences([program.description, ...(about.more ?? [])]),
    ".SH OPTIONS",
    ...CommandLine.optionsOf(program, []).flatMap(option),
    ".SH COMMANDS",
    ...CommandTreeOf.all(program)
      .filter(({ path }) => path.length > 0)
      .flatMap(({ command: one, path }) => command(program, path, one, relay)),
    ...(shared.length === 0
      ? []
      : [
          ".SH WHICH RELAY IS ASKED",
          "All commands that ask a relay take these options.",
          ...shared.flatMap(option)
        ]),
    ".SH ENVIRONMENT",
    ...HelpText.environment(program).flatMap(([variable, meaning]) =>
      entry(bold(variable), sentence(meaning))
    ),
    ".SH EXIT STATUS",
    ...HelpText.exitCodes([], program).flatMap(([code, meaning]) => entry(bold(code), sentence(meaning))),
    ".SH EXAMPLES",
    // The heading is a paragraph's beginning already.
    ...examples(about).slice(1)
  ]
  return `${lines.join("\n")}\n`
}
