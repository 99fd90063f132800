/** What may stand where a command line is being typed, as far as the program itself knows. */
import { restReasons } from "../remote-run/RestReason.ts"
import * as CommandLine from "./CommandLine.ts"
import type { CommandTree, OptionText, Value } from "./CommandTree.ts"
import { summary } from "./Help.ts"

/** A word that may stand there, and what it means. */
export interface Candidate {
  readonly word: string
  readonly meaning: string
}

/** What only the relay, or the shell, knows. */
export type Kind =
  | "files"
  | "folders"
  /** Ids of nodes. */
  | "ids"
  /** Ids and host names of nodes. */
  | "nodes"
  /** What `run` takes. */
  | "targets"
  | "runs"
  | "entries"
  | "stored"

/** What may stand in the place of the word that is being typed. */
export interface Candidates {
  /** What of that word stays, such as `--node=` or the first part of a list. */
  readonly kept: string
  /** What of it is to be completed. */
  readonly typed: string
  /** Words that go on with `typed`. */
  readonly words: ReadonlyArray<Candidate>
  /** Who knows more words. */
  readonly kind?: Kind
  /** What was said about which relay is meant, by the options' names without dashes. */
  readonly relay: ReadonlyMap<string, string>
}

/** By what values are called in the help. */
const kinds: Readonly<Record<string, Kind>> = {
  FILE: "files",
  PEM: "files",
  DIR: "folders",
  ID: "ids",
  IDS: "nodes",
  NODE: "nodes",
  TARGET: "targets",
  T: "targets",
  RUN: "runs",
  ENTRY: "entries",
  "TARGET/SOURCE/FILE": "stored"
}

/** Values that are several words with commas between them. */
const lists: ReadonlySet<string> = new Set(["IDS", "REASONS"])

type Found = Omit<Candidates, "relay">

const plain = (word: string): Candidate => ({ word, meaning: "" })

const valuesOf = ({ choices, name }: Value, kept: string, typed: string): Found => {
  if (lists.has(name)) {
    const at = typed.lastIndexOf(",") + 1
    const fixed = name === "REASONS" ? restReasons : []
    return {
      kept: kept + typed.slice(0, at),
      typed: typed.slice(at),
      words: fixed.map(plain),
      ...(kinds[name] === undefined ? {} : { kind: kinds[name] })
    }
  }
  const words = choices.map(plain)
  return { kept, typed, words, ...(kinds[name] === undefined ? {} : { kind: kinds[name] }) }
}

const isOpen = ({ given }: CommandLine.Place, option: OptionText): boolean =>
  !given.has(option) || (option.mayRepeat && option.value !== undefined)

const optionWords = (place: CommandLine.Place): ReadonlyArray<Candidate> =>
  CommandLine.optionsOf(place.command, place.path)
    .filter((option) => isOpen(place, option))
    .map(({ names, description }) => ({ word: names[0] ?? "", meaning: summary(description) }))

const wordsAt = (place: CommandLine.Place, typed: string): Found => {
  const { command, operands } = place
  const commands = operands.length === 0 ? command.commands : []
  const words = commands.map(({ name, description }) => ({ word: name, meaning: summary(description) }))
  const last = command.operands.at(-1)
  const operand = command.operands[operands.length] ?? (last?.mayRepeat === true ? last : undefined)
  if (operand !== undefined) {
    const found = valuesOf(operand, "", typed)
    return { ...found, words: [...words, ...found.words] }
  }
  // Where nothing else may stand, options may.
  const more = words.length === 0 && !place.isPlain && typed === "" ? optionWords(place) : []
  return { kept: "", typed, words: [...words, ...more] }
}

const candidatesAt = (place: CommandLine.Place, typed: string): Found => {
  const { command, isPlain, path, pending } = place
  if (pending?.value !== undefined) return valuesOf(pending.value, "", typed)
  if (isPlain || !typed.startsWith("-")) return wordsAt(place, typed)
  const [, name, value = ""] = /^(--[^=]+)=([\s\S]*)$/.exec(typed) ?? []
  if (name === undefined) return { kept: "", typed, words: optionWords(place) }
  const option = CommandLine.optionsOf(command, path).find(({ names }) => names.includes(name))
  return option?.value === undefined
    ? { kept: "", typed, words: [] }
    : valuesOf(option.value, `${name}=`, value)
}

/** @param words what was said behind the program's name; the last one is being typed */
export const of = (program: CommandTree, words: ReadonlyArray<string>): Candidates => {
  const place = CommandLine.place(program, words.slice(0, -1))
  const found = candidatesAt(place, words.at(-1) ?? "")
  const relay = new Map(
    [...place.given].map(([{ names }, values]) => [(names[0] ?? "").slice(2), values[0] ?? ""])
  )
  return { ...found, words: found.words.filter(({ word }) => word.startsWith(found.typed)), relay }
}
