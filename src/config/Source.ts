/** Values of a configuration by their dotted key, from a TOML file and the environment that overrides it. */
import { Option } from "effect"
import type { ConfigProblem } from "./ConfigError.ts"
import type { Decoder } from "./Decoder.ts"

export type Environment = Readonly<Record<string, string | undefined>>

/** `remote_run.max_concurrent` is `RUDDER_RELAY_REMOTE_RUN__MAX_CONCURRENT`. */
export const variableOf = (key: string): string => `RUDDER_RELAY_${key.toUpperCase().replaceAll(".", "__")}`

const isTable = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date)

const flatten = (table: Record<string, unknown>, prefix: string, into: Map<string, unknown>): void => {
  for (const [name, value] of Object.entries(table)) {
    if (isTable(value)) flatten(value, `${prefix}${name}.`, into)
    else into.set(`${prefix}${name}`, value)
  }
}

/** A value as it is shown in a message: short, and never a secret, since none is a key of ours. */
const show = (value: unknown): string => {
  const text = typeof value === "bigint" ? String(value) : (JSON.stringify(value) ?? String(value))
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}

/** Reads keys, collects what is wrong, and knows in the end which keys nobody read. */
export class Source {
  readonly problems: Array<ConfigProblem> = []
  private readonly file: string
  private readonly values = new Map<string, unknown>()
  private readonly environment: Environment
  private readonly known = new Set<string>()

  constructor(file: string, table: Record<string, unknown>, environment: Environment) {
    this.file = file
    this.environment = environment
    flatten(table, "", this.values)
  }

  has(key: string): boolean {
    return this.values.has(key) || this.environment[variableOf(key)] !== undefined
  }

  optional<A>(key: string, decoder: Decoder<A>): Option.Option<A> {
    this.known.add(key)
    const variable = variableOf(key)
    const text = this.environment[variable]
    if (text !== undefined) return this.decoded(variable, key, text, decoder, decoder.text(text))
    if (!this.values.has(key)) return Option.none()
    const value = this.values.get(key)
    return this.decoded(this.file, key, value, decoder, decoder.toml(value))
  }

  or<A>(key: string, decoder: Decoder<A>, fallback: A): A {
    return Option.getOrElse(this.optional(key, decoder), () => fallback)
  }

  wrong(key: string | undefined, message: string): void {
    const variable = key === undefined ? undefined : variableOf(key)
    const source = variable !== undefined && this.environment[variable] !== undefined ? variable : this.file
    this.problems.push({ source, key, message })
  }

  /** Keys of the file that were not read and do not begin with one of `others`. */
  unknown(others: ReadonlyArray<string>): ReadonlyArray<string> {
    return [...this.values.keys()].filter(
      (key) => !this.known.has(key) && !others.some((other) => key === other || key.startsWith(`${other}.`))
    )
  }

  private decoded<A>(
    source: string,
    key: string,
    value: unknown,
    decoder: Decoder<A>,
    result: Option.Option<A>
  ) {
    if (Option.isNone(result))
      this.problems.push({ source, key, message: `expected ${decoder.expected}, got ${show(value)}` })
    return result
  }
}
