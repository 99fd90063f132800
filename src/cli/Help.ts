/** The help of a command, as text. */
import * as CommandLine from "./CommandLine.ts"
import type { CommandTree, OptionText, Value } from "./CommandTree.ts"
import * as CommandTreeOf from "./CommandTree.ts"
import * as HelpText from "./HelpText.ts"
import * as TextWidth from "./TextWidth.ts"

/** How it is shown. */
export interface Look {
  /** Columns. */
  readonly width: number
  /** Whether headings may be bold. */
  readonly colours: boolean
}

/** Lines that are longer are tiring to read. Columns. */
const comfortable = 100

/** How a value is written: its name, or those that there are. */
export const valueText = ({ choices, name }: Value): string =>
  choices.length > 0 && choices.length <= 5 ? choices.join("|") : name

/** An option with what follows it: `-c, --config DIR`. */
const optionText = ({ names, value }: OptionText): string =>
  [...names].sort((one, other) => one.length - other.length).join(", ") +
  (value === undefined ? "" : ` ${valueText(value)}`)

/** What is said of an option: its description, and which values it takes where that does not stand beside its name. */
export const optionDescription = ({ description, value, mayRepeat }: OptionText): string => {
  const isListed = value !== undefined && value.choices.length > 5
  return [
    description,
    ...(isListed ? [`one of ${value.choices.join(", ")}`] : []),
    ...(mayRepeat && value !== undefined ? ["may be said more than once"] : [])
  ].join("; ")
}

/** How a command is said, such as `runs show [options] RUN`. */
export const synopsis = (program: string, path: ReadonlyArray<string>, command: CommandTree): string => {
  const operands = command.operands.map(({ isRequired, mayRepeat, ...value }) => {
    const text = valueText(value) + (mayRepeat ? "…" : "")
    return isRequired ? text : `[${text}]`
  })
  const required = command.options
    .filter(({ isRequired }) => isRequired)
    .map(({ names, value }) => `${names[0]} ${value === undefined ? "" : valueText(value)}`)
  return [program, ...path, ...required, "[options]", ...operands].join(" ")
}

/** The first sentence. */
export const summary = (description: string): string =>
  description.split(/(?<=[.:;]) /)[0]?.replace(/[.:;]$/, "") ?? ""

/** With a full stop, where nothing ends it. */
export const sentence = (text: string): string => (/[.:;]$/.test(text) ? text : `${text}.`)

/** A name, and what it means, beside it or below it. */
type Entry = readonly [name: string, meaning: string]

const indent = "  "
const widestName = 26

const entries = (all: ReadonlyArray<Entry>, width: number): ReadonlyArray<string> => {
  const column = Math.min(widestName, Math.max(0, ...all.map(([name]) => TextWidth.of(name)))) + 2
  const left = indent.length + column
  return all.flatMap(([name, meaning]) => {
    const [first = "", ...others] = TextWidth.wrap(meaning, width - left)
    const rest = others.map((line) => " ".repeat(left) + line)
    return TextWidth.of(name) + 2 > column
      ? [indent + name, " ".repeat(left) + first, ...rest]
      : [(indent + TextWidth.pad(name, column) + first).trimEnd(), ...rest]
  })
}

const section = (title: string, lines: ReadonlyArray<string>, { colours }: Look): ReadonlyArray<string> =>
  lines.length === 0 ? [] : ["", colours ? `\u001b[1m${title}\u001b[0m` : title, ...lines]

const usages = (
  program: CommandTree,
  path: ReadonlyArray<string>,
  command: CommandTree
): ReadonlyArray<string> => [
  synopsis(program.name, path, command),
  ...(command.commands.length === 0 ? [] : [`${[program.name, ...path].join(" ")} COMMAND …`])
]

/** The help of the command of this path; with an empty one, of the program. Lines. */
export const render = (
  program: CommandTree,
  path: ReadonlyArray<string>,
  look: Look
): ReadonlyArray<string> => {
  const command = CommandTreeOf.find(program, path)
  const width = Math.max(40, Math.min(comfortable, look.width))
  const text = HelpText.of(path)
  const wrapped = (paragraph: string) =>
    TextWidth.wrap(paragraph, width - indent.length).map((line) => indent + line)
  const listed = (all: ReadonlyArray<Entry>) => entries(all, width)
  const options = CommandLine.optionsOf(command, path)
  return [
    ...TextWidth.wrap([sentence(command.description), ...(text.more ?? [])].join(" "), width),
    ...section(
      "Usage",
      usages(program, path, command).map((line) => indent + line),
      look
    ),
    ...section(
      "Commands",
      listed(command.commands.map(({ name, description }) => [name, summary(description)])),
      look
    ),
    ...section(
      "What it is about",
      listed(command.operands.map((one) => [valueText(one), one.description])),
      look
    ),
    ...section("Options", listed(options.map((one) => [optionText(one), optionDescription(one)])), look),
    ...section(
      "Examples",
      text.examples.flatMap(([line, meaning]) => [...wrapped(meaning), `${indent}${indent}${line}`]),
      look
    ),
    ...section("Environment", listed(HelpText.environment(command)), look),
    ...section("Exit codes", listed(HelpText.exitCodes(path, command)), look),
    ...(command.commands.length === 0
      ? []
      : [
          "",
          ...TextWidth.wrap(
            `${[program.name, ...path].join(" ")} COMMAND --help says more of a command.`,
            width
          )
        ])
  ]
}
