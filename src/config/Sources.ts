/**
 * What `main.conf` and the environment say, as the settings' schema takes it. Not a `ConfigProvider`: that has text alone,
 * and a wrong type in the file would pass.
 */
import { Either, ParseResult, Schema } from "effect"
import * as Printable from "../Printable.ts"
import type { ConfigProblem } from "./ConfigError.ts"
import { Keys, table as known } from "./Keys.ts"
import { nearest } from "./Nearest.ts"
import type { Key } from "./Setting.ts"

/** Environment variables by their names. */
export type Environment = Readonly<Record<string, string | undefined>>

const prefix = "RUDDER_RELAY_"

/** `remote_run.max_concurrent` is `RUDDER_RELAY_REMOTE_RUN__MAX_CONCURRENT`. */
const variableOf = (key: string): string => `${prefix}${key.toUpperCase().replaceAll(".", "__")}`

/** Keys, and sections, that Rudder's own relay has and this one has no use for. */
const unused = [
  "general.core_threads",
  "general.blocking_threads",
  "general.certificate_verification_mode",
  "processing",
  "output.database",
  "output.upstream.user",
  "output.upstream.password",
  "output.upstream.default_password",
  "output.upstream.verify_certificates",
  "rsync"
]

/** Variables under the prefix that are the client commands' own. */
const clients = [`${prefix}URL`]

type Table = Record<string, unknown>

const isTable = (value: unknown): value is Table =>
  typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date)

/** A value as a message shows it, cut where it is long. No key of the configuration is a secret. */
const show = (value: unknown): string => {
  const isNumber = typeof value === "bigint" || typeof value === "number"
  const text = isNumber ? String(value) : (JSON.stringify(value) ?? String(value))
  return Printable.line(text.length > 80 ? `${text.slice(0, 80)}…` : text)
}

/** A table that has every section and no key. */
export const emptySections = (): Table => {
  const sections: Table = {}
  for (const { path } of known) put(sections, path, undefined)
  return sections
}

const put = (sections: Table, path: ReadonlyArray<string>, value: unknown): void => {
  let section = sections
  for (const name of path.slice(0, -1)) {
    const there = section[name]
    const inner = isTable(there) ? there : {}
    section[name] = inner
    section = inner
  }
  const name = path.at(-1)
  if (name === undefined) return
  if (value === undefined) delete section[name]
  else section[name] = value
}

/** Where a value came from, and what it is. */
interface Said {
  readonly source: string
  readonly value: unknown
  /** As it stands in the environment, if it comes from there. */
  readonly text: string | undefined
}

/** The value of a key in a file; where what should be a section on the way to it is none, that value. */
const lookUp = (table: Table, key: string): { readonly value?: unknown; readonly noSection?: string } => {
  let at: unknown = table
  const parts = key.split(".")
  for (const [depth, part] of parts.entries()) {
    if (!isTable(at)) return { noSection: parts.slice(0, depth).join(".") }
    if (!Object.hasOwn(at, part)) return {}
    at = at[part]
  }
  return { value: at }
}

/** All keys of a table by their full names: sections are looked into, also unknown ones. */
function* namesOf(table: Table, isKey: (key: string) => boolean, above = ""): Generator<string> {
  for (const [name, value] of Object.entries(table)) {
    const key = `${above}${name}`
    if (isTable(value) && !isKey(key) && Object.keys(value).length > 0)
      yield* namesOf(value, isKey, `${key}.`)
    else yield key
  }
}

const isUnder = (key: string, others: ReadonlyArray<string>, separator: string): boolean =>
  others.some((other) => key === other || key.startsWith(`${other}${separator}`))

const withNearest = (name: string, names: ReadonlyArray<string>): string => {
  const meant = nearest(name, names)
  return Printable.line(meant === undefined ? name : `${name} (nearest: ${meant})`)
}

const sections = new Set(
  known.flatMap(({ key }) => {
    const parts = key.split(".")
    return parts.slice(0, -1).map((_, depth) => parts.slice(0, depth + 1).join("."))
  })
)

/** One warning of all that nobody reads, or none. */
const unknownKeys = (file: string, table: Table, environment: Environment): ReadonlyArray<ConfigProblem> => {
  const keys = known.map(({ key }) => key)
  const isKey = (key: string) => keys.includes(key)
  const inFile = [...namesOf(table, isKey)]
    .filter((key) => !isKey(key) && !sections.has(key) && !isUnder(key, unused, "."))
    .map((key) => withNearest(key, keys))
  const variables = [...keys.map(variableOf), ...clients]
  const inEnvironment = Object.keys(environment)
    .filter(
      (name) =>
        name.startsWith(prefix) && !variables.includes(name) && !isUnder(name, unused.map(variableOf), "__")
    )
    .sort()
    .map((name) => withNearest(name, variables))
  const ofFile = inFile.length > 0 ? [`unknown keys, ignored: ${inFile.join(", ")}`] : []
  const ofEnvironment =
    inEnvironment.length > 0 ? [`unknown variables, ignored: ${inEnvironment.join(", ")}`] : []
  if (ofFile.length === 0)
    return ofEnvironment.map((message) => ({ source: "environment", key: undefined, message }))
  const all = [...ofFile, ...ofEnvironment.map((message) => `environment: ${message}`)]
  return [{ source: file, key: undefined, message: all.join("; ") }]
}

/** The entries of a list that the schema refuses; the whole value, where it is no list. */
const refusedOf = (value: unknown, at: ReadonlyArray<PropertyKey | undefined>): string => {
  const wrong = Array.isArray(value) ? value.filter((_, index) => at.includes(index)) : []
  return wrong.length === 0 ? show(value) : `${wrong.map(show).join(", ")} in it`
}

const wrongType = (
  { key, expected, path }: Key,
  { source, text, value }: Said,
  refused: ReadonlyArray<ReadonlyArray<PropertyKey>>
): ConfigProblem => {
  const at = refused.filter((other) => begins(other, path)).map((other) => other[path.length])
  const got = text === undefined || Array.isArray(value) ? refusedOf(value, at) : show(text)
  return { source, key, message: `expected ${expected}, got ${got}` }
}

/** A configuration as it was read. */
export interface Read {
  /** The keys as far as they can be read; one with a problem is as if it were absent. */
  readonly keys: Keys
  readonly problems: ReadonlyArray<ConfigProblem>
  readonly warnings: ReadonlyArray<ConfigProblem>
  /** Whether a key has a value, right or wrong. */
  readonly has: (key: string) => boolean
  /** The file, or the variable, that a key is, or would be, read from. */
  readonly sourceOf: (key: string) => string
}

const decode = Schema.decodeUnknownEither(Keys, { errors: "all" })

/** The paths that the schema refuses. */
const refusedBy = (input: unknown): ReadonlyArray<ReadonlyArray<PropertyKey>> =>
  Either.match(decode(input), {
    onLeft: (error) => ParseResult.ArrayFormatter.formatErrorSync(error).map(({ path }) => path),
    onRight: () => []
  })

const begins = (path: ReadonlyArray<PropertyKey>, other: ReadonlyArray<string>): boolean =>
  other.every((name, depth) => path[depth] === name)

/** Reads every key from the environment, else from the file's table. */
export const read = (file: string, table: Table, environment: Environment): Read => {
  const said = new Map<string, Said>()
  const noSections = new Map<string, ConfigProblem>()
  const input = emptySections()
  for (const { key, path, fromText } of known) {
    const text = environment[variableOf(key)]
    const found: { readonly value?: unknown; readonly noSection?: string } =
      text === undefined ? lookUp(table, key) : { value: fromText(text) }
    const { noSection, value } = found
    if (noSection !== undefined)
      noSections.set(noSection, {
        source: file,
        key: noSection,
        message: `expected a section, got ${show(lookUp(table, noSection).value)}`
      })
    if (value === undefined) continue
    said.set(key, { source: text === undefined ? file : variableOf(key), value, text })
    put(input, path, value)
  }
  const refused = refusedBy(input)
  const wrong = known.flatMap((key) => {
    const what = said.get(key.key)
    return what !== undefined && refused.some((path) => begins(path, key.path)) ? [{ key, what }] : []
  })
  for (const { key } of wrong) put(input, key.path, undefined)
  return {
    keys: Schema.decodeUnknownSync(Keys)(input),
    problems: [...noSections.values(), ...wrong.map(({ key, what }) => wrongType(key, what, refused))],
    warnings: unknownKeys(file, table, environment),
    has: (key) => said.has(key),
    sourceOf: (key) => said.get(key)?.source ?? file
  }
}
