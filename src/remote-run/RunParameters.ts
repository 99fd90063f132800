/** The parameters of the routes that start a run or read one, in both dialects, decoded from query and form. */
import { Either } from "effect"
import { unknown as unknownParameter } from "../http/Query.ts"
import { NodeId } from "../NodeId.ts"
import { ClassName } from "./ClassName.ts"
import * as ControlParameters from "./ControlParameters.ts"
import type { RunFormat } from "./journal/RunFormat.ts"
import {
  boolean,
  type Decoded,
  decodeList,
  type Entries,
  group,
  invalid,
  list,
  oneOf,
  single
} from "./Parameter.ts"
import type { OutputChoice } from "./RunRecord.ts"

/** What a request for a run asks for, query and form taken together. */
export interface RunParameters extends ControlParameters.ControlParameters {
  readonly output: OutputChoice
  /** Answer lines as they are printed, or (with `discard`) at once; else node by node. */
  readonly async: boolean
  readonly classes: ReadonlyArray<ClassName>
  /** None given: undefined. Repeats and blanks are dropped. */
  readonly nodes: ReadonlyArray<NodeId> | undefined
  readonly format: Exclude<RunFormat, "sse">
  /** Asked in the way of existing Rudder installations: empty answers where they expect them. */
  readonly v1: boolean
  /** Names that mean nothing here, which an older caller may send; from anybody else they are an error. */
  readonly ignored: ReadonlyArray<string>
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
  /** Parameters that this route has besides those of all that start runs. */
  readonly more?: ReadonlyArray<string>
}

/** All classes of a run together. Bytes. */
const maxClassesLength = 100 * 1024

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

/** Under which of their names the classes were given; their own where they were not. */
export const classesName = (given: RunParameters["given"]): "classes" | "conditions" =>
  given.has("conditions") ? "conditions" : "classes"

/** The classes of a comma list; `alias` is what the list is called. */
export const decodeClasses = (names: string, alias: string): Decoded<ReadonlyArray<ClassName>> =>
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

/** Parameters that only callers of Rudder's own relays use. */
const oldNames = ["keep_output", "asynchronous"] as const
/** Parameters that no such caller uses. */
const newNames = ["output", "async", "format", ...ControlParameters.names] as const
const classNames = ["classes", "conditions"] as const

/** The names that mean nothing to a route: a misspelt `preview` must not run every node. */
const unknownNames = (
  given: ReadonlyMap<string, unknown>,
  { more = [] }: RunRoute
): Decoded<ReadonlyArray<string>> => {
  const known: ReadonlyArray<string> = [...newNames, ...oldNames, ...classNames, ...more]
  const unknown = [...given.keys()].filter((name) => !known.includes(name))
  const [first] = unknown
  if (first === undefined || oldNames.some((name) => given.has(name))) return Either.right(unknown)
  return Either.left(unknownParameter(first, known))
}

/** Decodes the parameters of a route that starts a run. */
export const decode = (route: RunRoute, query: Entries, form: Entries): Decoded<RunParameters> =>
  Either.gen(function* () {
    const given = yield* merge(query, form)
    const ignored = yield* unknownNames(given, route)
    const value = (name: string) => given.get(name)?.[0]
    const keepOutput = yield* boolean("keep_output", value("keep_output"))
    const asynchronous = yield* boolean("asynchronous", value("asynchronous"))
    const output = yield* oneOf("output", value("output"), ["keep", "discard"])
    const async = yield* oneOf("async", value("async"), ["yes", "no"])
    const format = yield* oneOf("format", value("format"), formats)
    const alias = classesName(given)
    const classes = yield* decodeClasses(value(alias) ?? "", alias)
    const nodes = given.get("nodes")
    const ids = nodes === undefined ? undefined : yield* decodeList("nodes", list(nodes), NodeId)
    const control = yield* ControlParameters.decode(value)
    const v1 =
      oldNames.some((name) => given.has(name)) ||
      (route.method === "POST" && route.versioned && route.old && !newNames.some((name) => given.has(name)))
    return {
      ...control,
      output: output ?? (keepOutput === true ? "keep" : "discard"),
      async: async === undefined ? asynchronous === true : async === "yes",
      classes,
      nodes: ids,
      format: format ?? acceptedFormat(route.accept, runTypes) ?? (v1 ? "raw" : "text"),
      v1,
      ignored,
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
