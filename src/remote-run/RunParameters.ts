/** The parameters of the routes that start a run or read one, in both dialects, decoded from query and form. */
import { Either, ParseResult, Schema } from "effect"
import { NodeId } from "../NodeId.ts"
import { InvalidRequest } from "../RelayError.ts"
import { ClassName } from "./ClassName.ts"
import type { RunFormat } from "./journal/RunFormat.ts"
import type { OutputChoice } from "./RunRecord.ts"

/** Parameters as they were sent, in order. */
export type Entries = Iterable<readonly [string, string]>

export interface RunParameters {
  readonly output: OutputChoice
  /** Answer lines as they are printed, or (with `discard`) at once; else node by node. */
  readonly async: boolean
  readonly classes: ReadonlyArray<ClassName>
  /** None given: undefined. Repeats and blanks are dropped. */
  readonly nodes: ReadonlyArray<NodeId> | undefined
  readonly format: Exclude<RunFormat, "sse">
  /** Asked in the way of existing Rudder installations: empty answers where they expect them. */
  readonly v1: boolean
  /** What was said, by name. */
  readonly given: ReadonlyMap<string, ReadonlyArray<string>>
}

/** What else the dialect depends on. */
export interface RunRoute {
  readonly method: string
  /** Called under `/1/`. */
  readonly versioned: boolean
  /** `node` is new; `nodes/{uuid}`, `nodes` and `all` are as old as Rudder's relays. */
  readonly old: boolean
  readonly accept: string | undefined
}

/** All classes of a run together. Bytes. */
const maxClassesLength = 100 * 1024

/** A parameter that is not what was expected. */
export const invalid = (parameter: string, expected: string) =>
  new InvalidRequest({ parameter, message: `${parameter}: ${expected}` })

/** What was decoded, or which parameter is wrong. */
export type Decoded<A> = Either.Either<A, InvalidRequest>

/** The values of each name; only `nodes` may repeat. */
const group = (entries: Entries): Decoded<Map<string, Array<string>>> => {
  const values = new Map<string, Array<string>>()
  for (const [name, value] of entries) {
    const before = values.get(name)
    if (before === undefined) values.set(name, [value])
    else if (name === "nodes") before.push(value)
    else return Either.left(invalid(name, "given twice"))
  }
  return Either.right(values)
}

/** Where both names of the classes stand side by side, `conditions` counts; it is all that is left then. */
const withoutAlias = (values: Map<string, Array<string>>): Map<string, Array<string>> => {
  if (values.has("conditions")) values.delete("classes")
  return values
}

/** A parameter and its v1 name: who says both means one of them, and nobody can tell which. */
const aliases = [
  ["output", "keep_output"],
  ["async", "asynchronous"]
] as const

/** The body wins over the query, also where it has another name for the classes. */
const merge = (query: Entries, form: Entries): Decoded<ReadonlyMap<string, ReadonlyArray<string>>> =>
  Either.gen(function* () {
    const merged = withoutAlias(yield* group(query))
    const body = withoutAlias(yield* group(form))
    if (body.has("classes")) merged.delete("conditions")
    if (body.has("conditions")) merged.delete("classes")
    for (const [name, values] of body) merged.set(name, values)
    for (const [name, alias] of aliases)
      if (merged.has(name) && merged.has(alias))
        return yield* Either.left(invalid(name, `given twice, also as ${alias}`))
    return merged
  })

/** The value of a parameter that may stand once. */
export const single = (query: Entries, name: string): Decoded<string | undefined> =>
  Either.flatMap(group(query), (values) => Either.right(values.get(name)?.[0]))

const oneOf = <A extends string>(
  name: string,
  value: string | undefined,
  choices: ReadonlyArray<A>
): Decoded<A | undefined> => {
  if (value === undefined) return Either.right(undefined)
  const choice = choices.find((known) => known === value)
  return choice === undefined
    ? Either.left(
        invalid(name, `expected ${choices.join(" or ")}, got ${JSON.stringify(value.slice(0, 100))}`)
      )
    : Either.right(choice)
}

const boolean = (name: string, value: string | undefined): Decoded<boolean | undefined> =>
  Either.map(oneOf(name, value?.toLowerCase(), ["true", "false"]), (text) =>
    text === undefined ? undefined : text === "true"
  )

const list = (values: ReadonlyArray<string>): ReadonlyArray<string> => [
  ...new Set(
    values
      .flatMap((value) => value.split(","))
      .map((item) => item.trim())
      .filter((item) => item !== "")
  )
]

const decodeList = <A>(
  name: string,
  items: ReadonlyArray<string>,
  schema: Schema.Schema<A, string>
): Decoded<ReadonlyArray<A>> => {
  const decode = Schema.decodeEither(schema)
  return Either.all(
    items.map((item) =>
      Either.mapLeft(decode(item), (error) =>
        invalid(
          name,
          `${ParseResult.ArrayFormatter.formatErrorSync(error)[0]?.message}, got ${JSON.stringify(item.slice(0, 100))}`
        )
      )
    )
  )
}

const classNames = (names: string, alias: string): Decoded<ReadonlyArray<ClassName>> =>
  Buffer.byteLength(names) > maxClassesLength
    ? Either.left(invalid(alias, `expected at most ${maxClassesLength / 1024} KiB in all`))
    : decodeList(alias, list([names]), ClassName)

const formats = ["text", "ndjson", "raw"] as const

const runTypes: ReadonlyMap<string, RunParameters["format"]> = new Map([
  ["text/plain", "text"],
  ["application/x-ndjson", "ndjson"]
])
const outputTypes: ReadonlyMap<string, RunFormat> = new Map([...runTypes, ["text/event-stream", "sse"]])

/** How much a caller wants a type, from 0 (not at all) to 1. */
const qualityOf = (parameters: ReadonlyArray<string>): number => {
  const given = parameters
    .map((text) => /^\s*q\s*=\s*([\d.]+)\s*$/i.exec(text)?.[1])
    .find((q) => q !== undefined)
  const quality = Number(given ?? 1)
  return Number.isNaN(quality) ? 1 : quality
}

/** The format that `Accept` wants most of those that a route has; whatever else it names is no preference. */
const acceptedFormat = <Format extends RunFormat>(
  accept: string | undefined,
  types: ReadonlyMap<string, Format>
): Format | undefined => {
  let best: { readonly format: Format; readonly quality: number } | undefined
  for (const item of (accept ?? "").split(",")) {
    const [type = "", ...parameters] = item.split(";")
    const format = types.get(type.trim().toLowerCase())
    const quality = qualityOf(parameters)
    if (format !== undefined && quality > (best?.quality ?? 0)) best = { format, quality }
  }
  return best?.format
}

/** Decodes the parameters of a route that starts a run. */
export const decode = (route: RunRoute, query: Entries, form: Entries): Decoded<RunParameters> =>
  Either.gen(function* () {
    const given = yield* merge(query, form)
    const value = (name: string) => given.get(name)?.[0]
    const keepOutput = yield* boolean("keep_output", value("keep_output"))
    const asynchronous = yield* boolean("asynchronous", value("asynchronous"))
    const output = yield* oneOf("output", value("output"), ["keep", "discard"])
    const async = yield* oneOf("async", value("async"), ["yes", "no"])
    const format = yield* oneOf("format", value("format"), formats)
    const alias = given.has("conditions") ? "conditions" : "classes"
    const classes = yield* classNames(value(alias) ?? "", alias)
    const nodes = given.get("nodes")
    const ids = nodes === undefined ? undefined : yield* decodeList("nodes", list(nodes), NodeId)
    const usesNew = given.has("output") || given.has("async") || given.has("format")
    const v1 =
      given.has("keep_output") ||
      given.has("asynchronous") ||
      (route.method === "POST" && route.versioned && route.old && !usesNew)
    return {
      output: output ?? (keepOutput === true ? "keep" : "discard"),
      async: async === undefined ? asynchronous === true : async === "yes",
      classes,
      nodes: ids,
      format: format ?? acceptedFormat(route.accept, runTypes) ?? (v1 ? "raw" : "text"),
      v1,
      given
    }
  })

/** The `nodes` of `remote-run/nodes`: required, and not empty. */
export const requireNodes = (parameters: RunParameters): Decoded<ReadonlyArray<NodeId>> =>
  parameters.nodes === undefined || parameters.nodes.length === 0
    ? Either.left(invalid("nodes", "expected a comma list of node ids"))
    : Either.right(parameters.nodes)

/** The `format` of a run's output; `text` unless it or `Accept` says another. */
export const decodeOutputFormat = (query: Entries, accept: string | undefined): Decoded<RunFormat> =>
  Either.gen(function* () {
    const format = yield* oneOf("format", yield* single(query, "format"), [...formats, "sse"] as const)
    return format ?? acceptedFormat(accept, outputTypes) ?? "text"
  })
