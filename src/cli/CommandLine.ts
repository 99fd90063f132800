/**
 * A command line, looked at before it is parsed: which command it calls, and whether it can be one. `@effect/cli` takes
 * values of options for commands and what stands behind a switch for its value, and says nothing of what was probably
 * meant; what it gets from here is in the one order that it reads without guessing.
 */
import { Either } from "effect"
import { nearest } from "../config/Nearest.ts"
import type { CommandTree, OptionText, Value } from "./CommandTree.ts"

/** What is asked for. */
export type Request =
  /** The help of a command. */
  | { readonly _tag: "Help"; readonly path: ReadonlyArray<string> }
  | { readonly _tag: "Version" }
  | { readonly _tag: "Completions"; readonly shell: string }
  /** A command. `args` are for `@effect/cli`: the path to the command, its options, `--`, its operands. */
  | { readonly _tag: "Call"; readonly path: ReadonlyArray<string>; readonly args: ReadonlyArray<string> }

/** What every command takes. */
const help: OptionText = {
  names: ["--help", "-h"],
  description: "Show this help",
  isRequired: false,
  mayRepeat: true
}

/** Shells that there are completions for. */
export const shells = ["bash", "zsh", "fish"] as const

/** What the program takes where no command is called. */
const alone: ReadonlyArray<OptionText> = [
  { names: ["--version", "-V"], description: "Show the version", isRequired: false, mayRepeat: true },
  {
    names: ["--completions"],
    value: { name: "SHELL", choices: shells, isInteger: false },
    description: "Print what completes command lines in this shell",
    isRequired: false,
    mayRepeat: false
  }
]

/** All options that may stand behind a command. */
export const optionsOf = (command: CommandTree, path: ReadonlyArray<string>): ReadonlyArray<OptionText> => [
  ...command.options,
  ...(path.length === 0 ? alone : []),
  help
]

const quoted = (text: string): string => JSON.stringify(text.slice(0, 100))

/** What was probably meant; else, where all that there is can be seen. */
const guess = (text: string, known: ReadonlyArray<string>, otherwise = ""): string => {
  const found = nearest(text, known)
  return found === undefined ? otherwise : `; did you mean ${found}?`
}

const helpOf = ({ path, program }: Reading): string =>
  `; ${[program, ...path].join(" ")} --help says what there is`

const wrongValue = (what: string, value: Value, text: string): string | undefined => {
  if (value.choices.length > 0 && !value.choices.includes(text))
    return `${what} is one of ${value.choices.join(", ")}, not ${quoted(text)}${guess(text, value.choices)}`
  if (value.isInteger && !/^-?\d{1,15}$/.test(text)) return `${what} is a whole number, not ${quoted(text)}`
  return undefined
}

/** What was said up to here. It grows as the command line is read. */
interface Reading {
  readonly program: string
  readonly path: Array<string>
  readonly given: Map<OptionText, Array<string>>
  readonly operands: Array<string>
  command: CommandTree
}

const begin = (program: CommandTree): Reading => ({
  program: program.name,
  path: [],
  given: new Map(),
  operands: [],
  command: program
})

/** A sentence about the command that was said so far. */
const about = ({ path, program }: Reading, sentence: string): string =>
  `${[program, ...path].join(" ")}: ${sentence}`

const find = ({ command, path }: Reading, name: string): OptionText | undefined =>
  optionsOf(command, path).find(({ names }) => names.includes(name))

const has = (reading: Reading, name: string): boolean => {
  const option = find(reading, name)
  return option !== undefined && reading.given.has(option)
}

const isBelow = (command: CommandTree, option: string): boolean =>
  command.commands.some(
    (one) => one.options.some(({ names }) => names.includes(option)) || isBelow(one, option)
  )

const unknownOption = (reading: Reading, name: string): string => {
  const { command, path } = reading
  const known = optionsOf(command, path).flatMap(({ names }) => names)
  const hint = isBelow(command, name)
    ? "; it stands behind a command that has it"
    : guess(name, known, helpOf(reading))
  return `no option ${name}${hint}`
}

/** Notes an option; gives what is wrong with it. */
const note = (
  { given }: Reading,
  option: OptionText,
  name: string,
  value: string | undefined
): string | undefined => {
  const before = given.get(option) ?? []
  if (option.value === undefined) {
    if (value !== undefined) return `${name} takes no value`
  } else {
    if (before.length > 0 && !option.mayRepeat) return `${name} is there twice, and counts once`
    if (value === undefined) return `${name} needs a value: ${option.value.name}`
    const wrong = wrongValue(name, option.value, value)
    if (wrong !== undefined) return wrong
  }
  given.set(option, [...before, value ?? ""])
  return undefined
}

/** Goes on with a command below; what was said before it has to be an option of it too. Gives what is wrong. */
const descend = (reading: Reading, next: CommandTree): string | undefined => {
  const before = [...reading.given]
  reading.given.clear()
  reading.path.push(next.name)
  reading.command = next
  for (const [option, values] of before) {
    const [name = ""] = option.names
    const own = find(reading, name)
    if (own === undefined) return `no option ${name}${helpOf(reading)}`
    reading.given.set(own, values)
  }
  return undefined
}

/** Letters: each an option, up to one that takes a value, which is what is left of the token, or the next one. */
const readLetters = (reading: Reading, token: string, following: string | undefined): number | string => {
  const letters = [...token].slice(1)
  for (const [at, letter] of letters.entries()) {
    const name = `-${letter}`
    const option = find(reading, name)
    if (option === undefined) return unknownOption(reading, letters.length === 1 ? name : token)
    const attached = letters.slice(at + 1).join("")
    const takesNext = option.value !== undefined && attached === ""
    const value = option.value === undefined ? undefined : takesNext ? following : attached
    const wrong = note(reading, option, name, value)
    if (wrong !== undefined) return wrong
    if (option.value !== undefined) return takesNext ? 2 : 1
  }
  return 1
}

/** Reads a token that begins with a dash; gives how many tokens it took, or what is wrong. */
const readOption = (reading: Reading, [token = "", following]: ReadonlyArray<string>): number | string => {
  const long = /^(--[^=]*)(?:=([\s\S]*))?$/.exec(token)
  if (long === null) return readLetters(reading, token, following)
  const [, name = "", attached] = long
  const option = find(reading, name)
  if (option === undefined) return unknownOption(reading, name)
  const takesNext = option.value !== undefined && attached === undefined
  return note(reading, option, name, takesNext ? following : attached) ?? (takesNext ? 2 : 1)
}

/** Reads a token that is no option; gives what is wrong. */
const readWord = (reading: Reading, token: string): string | undefined => {
  const { command, operands } = reading
  const below = operands.length === 0 ? command.commands : []
  const next = below.find(({ name }) => name === token)
  if (next !== undefined) return descend(reading, next)
  if (command.operands.length === 0 && command.commands.length > 0) {
    const known = command.commands.map(({ name }) => name)
    return `no command ${quoted(token)}${guess(token, known, helpOf(reading))}`
  }
  operands.push(token)
  return undefined
}

const isOption = (token: string): boolean => token.length > 1 && token.startsWith("-")

const readAll = (reading: Reading, args: ReadonlyArray<string>): string | undefined => {
  let at = 0
  while (at < args.length) {
    const token = args[at] ?? ""
    if (token === "--") {
      reading.operands.push(...args.slice(at + 1))
      return undefined
    }
    if (isOption(token)) {
      const taken = readOption(reading, args.slice(at, at + 2))
      if (typeof taken === "string") return taken
      at += taken
    } else {
      const wrong = readWord(reading, token)
      if (wrong !== undefined) return wrong
      at += 1
    }
  }
  return undefined
}

/** What is missing, or too much, when all was read. */
const incomplete = (reading: Reading): string | undefined => {
  const { command, given, operands } = reading
  const { operands: wanted } = command
  const required = wanted.filter(({ isRequired }) => isRequired)
  const absent = [
    ...command.options
      .filter((option) => option.isRequired && !given.has(option))
      .map(({ names, value }) => `${names[0]} ${value?.name ?? ""}`),
    ...required.slice(operands.length).map(({ name }) => name)
  ]
  if (absent.length > 0) return `it needs ${absent.join(", ")}`
  const tooMuch = wanted.some(({ mayRepeat }) => mayRepeat) ? undefined : operands[wanted.length]
  if (tooMuch !== undefined)
    return wanted.length === 0
      ? `it takes nothing but options: ${quoted(tooMuch)} is too much`
      : `it takes ${wanted.map(({ name }) => name).join(" and ")} alone: ${quoted(tooMuch)} is too much`
  for (const [at, operand] of operands.entries()) {
    const expected = wanted[Math.min(at, wanted.length - 1)]
    const wrong = expected === undefined ? undefined : wrongValue(expected.name, expected, operand)
    if (wrong !== undefined) return wrong
  }
  return undefined
}

const requestOf = (reading: Reading): Request => {
  const { command, given, operands, path } = reading
  const options = command.options.flatMap((option) => {
    const [name = ""] = option.names
    const values = given.get(option) ?? []
    return option.value === undefined
      ? values.slice(0, 1).map(() => name)
      : values.flatMap((value) => [name, value])
  })
  const args = [...path, ...options, ...(operands.length === 0 ? [] : ["--", ...operands])]
  return { _tag: "Call", path, args }
}

/** Reads what was said behind the program's name; what is wrong with it is a sentence. */
export const parse = (program: CommandTree, args: ReadonlyArray<string>): Either.Either<Request, string> => {
  const reading = begin(program)
  const wrong = readAll(reading, args)
  const { path } = reading
  // Who asks for help is not told what is missing, or wrong behind it.
  if (has(reading, "--help")) return Either.right({ _tag: "Help", path })
  if (wrong !== undefined) return Either.left(about(reading, wrong))
  if (path.length === 0) {
    if (has(reading, "--version")) return Either.right({ _tag: "Version" })
    const [shell] = [...reading.given].find(([{ names }]) => names.includes("--completions"))?.[1] ?? []
    if (shell !== undefined) return Either.right({ _tag: "Completions", shell })
  }
  const missing = incomplete(reading)
  return missing === undefined ? Either.right(requestOf(reading)) : Either.left(about(reading, missing))
}

/** Where the end of an unfinished command line stands. */
export interface Place {
  readonly path: ReadonlyArray<string>
  readonly command: CommandTree
  /** What each option was given. */
  readonly given: ReadonlyMap<OptionText, ReadonlyArray<string>>
  readonly operands: ReadonlyArray<string>
  /** The option whose value comes next. */
  readonly pending: OptionText | undefined
  /** Behind `--` nothing is an option. */
  readonly isPlain: boolean
}

/** The option that a token ends with, where its value is to follow. */
const pendingIn = (reading: Reading, token: string): OptionText | undefined => {
  if (!token.startsWith("-") || token.length < 2 || token.includes("=")) return undefined
  const option = find(reading, token.startsWith("--") ? token : `-${token.at(-1)}`)
  return option?.value === undefined ? undefined : option
}

/** Reads whole words that more are to follow; what is wrong with them does not matter. */
export const place = (program: CommandTree, words: ReadonlyArray<string>): Place => {
  const reading = begin(program)
  const plain = words.indexOf("--")
  let pending: OptionText | undefined
  const end = plain < 0 ? words.length : plain
  for (let at = 0; at < end; ) {
    const token = words[at] ?? ""
    if (isOption(token)) {
      const taken = readOption(reading, words.slice(at, Math.min(at + 2, end)))
      pending = at === end - 1 ? pendingIn(reading, token) : undefined
      at += typeof taken === "number" ? taken : pendingIn(reading, token) === undefined ? 1 : 2
    } else {
      readWord(reading, token)
      at += 1
    }
  }
  const { command, given, path } = reading
  const operands = plain < 0 ? reading.operands : [...reading.operands, ...words.slice(plain + 1)]
  return { path, command, given, operands, pending: plain < 0 ? pending : undefined, isPlain: plain >= 0 }
}
