/**
 * What can be said to a program, as a value: its commands, and each one's options and operands. Read from the commands of
 * `@effect/cli`, so that help, completions, the man page and the look at a command line know what the commands themselves
 * know, and nothing else.
 */
import type { Command, HelpDoc, Span } from "@effect/cli"
import { Predicate } from "effect"

/** What follows an option, or stands by itself. */
export interface Value {
  /** What it is called in the help, such as `RUN`: completions go by this name too. */
  readonly name: string
  /** The only ones that there are; empty: any. */
  readonly choices: ReadonlyArray<string>
  /** Whether it is a whole number. */
  readonly isInteger: boolean
}

/** An option of a command. */
export interface OptionText {
  /** With their dashes, the long one first. */
  readonly names: ReadonlyArray<string>
  /** What has to follow it; absent: nothing. */
  readonly value?: Value
  readonly description: string
  readonly isRequired: boolean
  readonly mayRepeat: boolean
}

/** What a command is about: not an option. */
export interface Operand extends Value {
  readonly description: string
  readonly isRequired: boolean
  readonly mayRepeat: boolean
}

/** A command, with those below it. */
export interface CommandTree {
  readonly name: string
  readonly description: string
  readonly options: ReadonlyArray<OptionText>
  readonly operands: ReadonlyArray<Operand>
  readonly commands: ReadonlyArray<CommandTree>
}

/**
 * A node of what `@effect/cli` makes of commands, options and arguments. Its types hide what is in there; what is read
 * here is looked at before, and a test has every kind.
 */
interface Instruction {
  readonly _tag: string
  readonly [field: string]: unknown
}

const isInstruction = (value: unknown): value is Instruction =>
  Predicate.hasProperty(value, "_tag") && typeof value._tag === "string"

/** Dies on what is none: another version of `@effect/cli`, whose commands would be told wrongly. */
const instruction = (value: unknown): Instruction => {
  if (isInstruction(value)) return value
  throw new Error("@effect/cli has something else in its commands than expected")
}

const textField = (value: unknown): string => (typeof value === "string" ? value : "")

const isHelpDoc = (value: unknown): value is HelpDoc.HelpDoc =>
  isInstruction(value) &&
  ["Empty", "Header", "Paragraph", "DescriptionList", "Enumeration", "Sequence"].includes(value._tag)

const textOf = (span: Span.Span): string => {
  switch (span._tag) {
    case "Sequence":
      return textOf(span.left) + textOf(span.right)
    case "Text":
    case "URI":
      return span.value
    default:
      return textOf(span.value)
  }
}

/** Paragraphs, with a space in between. */
const words = (value: unknown): string => {
  if (!isHelpDoc(value)) return ""
  if (value._tag === "Sequence")
    return [words(value.left), words(value.right)].filter((part) => part !== "").join(" ")
  return value._tag === "Paragraph" ? textOf(value.value) : ""
}

const choicesOf = (primitive: Instruction): ReadonlyArray<string> =>
  primitive._tag === "Choice" && Array.isArray(primitive.alternatives)
    ? primitive.alternatives.map((one: unknown) => textField(Array.isArray(one) ? one[0] : ""))
    : []

const valueOf = (single: Instruction, fallback: string): Value => {
  const primitive = instruction(single.primitiveType)
  const { pseudoName } = single
  const isNamed = isInstruction(pseudoName) && pseudoName._tag === "Some"
  const choices = choicesOf(primitive)
  const isInteger = primitive._tag === "Integer"
  return {
    name: isNamed ? textField(pseudoName.value) : isInteger ? "N" : fallback,
    choices,
    isInteger
  }
}

/** What is around an option or an argument, that says how often it may stand. */
interface Around {
  readonly isRequired: boolean
  readonly mayRepeat: boolean
}

const once: Around = { isRequired: true, mayRepeat: false }

const isNone = (value: unknown): boolean => isInstruction(value) && value._tag === "None"
const numberIn = (value: unknown): number | undefined =>
  isInstruction(value) && typeof value.value === "number" ? value.value : undefined

/** Optional, or as often as one likes. */
const variadic = (self: Instruction, around: Around): Around => ({
  isRequired: around.isRequired && (numberIn(self.min) ?? 0) > 0,
  mayRepeat: isNone(self.max) || (numberIn(self.max) ?? 0) > 1
})

const optionsOf = (given: unknown, around: Around = once): ReadonlyArray<OptionText> => {
  const self = instruction(given)
  switch (self._tag) {
    case "Empty":
      return []
    case "Single": {
      const { name, aliases } = self
      const short = Array.isArray(aliases) ? aliases.map(textField) : []
      const isSwitch = instruction(self.primitiveType)._tag === "Bool"
      return [
        {
          names: [textField(name), ...short].map((one) => (one.length === 1 ? `-${one}` : `--${one}`)),
          ...(isSwitch ? {} : { value: valueOf(self, textField(name).toUpperCase()) }),
          description: words(self.description),
          isRequired: around.isRequired && !isSwitch,
          mayRepeat: around.mayRepeat
        }
      ]
    }
    case "Map":
      return optionsOf(self.options, around)
    case "WithDefault":
    case "WithFallback":
      return optionsOf(self.options, { ...around, isRequired: false })
    case "Variadic":
      return optionsOf(self.argumentOption, variadic(self, around))
    case "Both":
      return [...optionsOf(self.left, around), ...optionsOf(self.right, around)]
    case "OrElse": {
      const either = { ...around, isRequired: false }
      return [...optionsOf(self.left, either), ...optionsOf(self.right, either)]
    }
    default:
      throw new Error(`an option of @effect/cli of an unknown kind: ${self._tag}`)
  }
}

const operandsOf = (given: unknown, around: Around = once): ReadonlyArray<Operand> => {
  const self = instruction(given)
  switch (self._tag) {
    case "Empty":
      return []
    case "Single":
      return [
        {
          ...valueOf(self, textField(self.name).replaceAll(/[<>]/g, "").toUpperCase()),
          description: words(self.description),
          ...around
        }
      ]
    case "Map":
      return operandsOf(self.args, around)
    case "WithDefault":
    case "WithFallbackConfig":
      return operandsOf(self.args, { ...around, isRequired: false })
    case "Variadic":
      return operandsOf(self.args, variadic(self, around))
    case "Both":
      return [...operandsOf(self.left, around), ...operandsOf(self.right, around)]
    default:
      throw new Error(`an argument of @effect/cli of an unknown kind: ${self._tag}`)
  }
}

const read = (given: unknown): CommandTree => {
  const self = instruction(given)
  switch (self._tag) {
    case "Standard":
      return {
        name: textField(self.name),
        description: words(self.description),
        options: optionsOf(self.options),
        operands: operandsOf(self.args),
        commands: []
      }
    case "Map":
      return read(self.command)
    case "Subcommands":
      return {
        ...read(self.parent),
        commands: Array.isArray(self.children) ? self.children.map(read) : []
      }
    default:
      throw new Error(`a command of @effect/cli of an unknown kind: ${self._tag}`)
  }
}

/** What can be said to a program. */
export const of = <Name extends string, R, E, A>({
  descriptor
}: Command.Command<Name, R, E, A>): CommandTree => read(descriptor)

/** The command of this path below a program; the deepest that there is. */
export const find = (tree: CommandTree, path: ReadonlyArray<string>): CommandTree => {
  const [name, ...others] = path
  const next = tree.commands.find((command) => command.name === name)
  return next === undefined ? tree : find(next, others)
}

/** All commands with the paths to them, the program itself first, with an empty one. */
export const all = (
  tree: CommandTree,
  path: ReadonlyArray<string> = []
): ReadonlyArray<{ readonly path: ReadonlyArray<string>; readonly command: CommandTree }> => [
  { path, command: tree },
  ...tree.commands.flatMap((command) => all(command, [...path, command.name]))
]
