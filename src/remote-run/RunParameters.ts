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

const invalid = (parameter: string, expected: string) =>
  new InvalidRequest({ parameter, message: `${parameter}: ${expected}` })

type Decoded<A> = Either.Either<A, InvalidRequest>

/** The body wins over the query; only `nodes` may repeat within one of them. */
const merge = (query: Entries, form: Entries): Decoded<ReadonlyMap<string, ReadonlyArray<string>>> => {
  const merged = new Map<string, ReadonlyArray<string>>()
  for (const entries of [query, form]) {
    const own = new Map<string, ReadonlyArray<string>>()
    for (const [name, value] of entries) {
      const before = own.get(name)
      if (before !== undefined && name !== "nodes") return Either.left(invalid(name, "given twice"))
      own.set(name, [...(before ?? []), value])
    }
    for (const [name, values] of own) merged.set(name, values)
  }
  return Either.right(merged)
}

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

/** The first of `Accept` that is one of ours; whatever else is there is no preference. */
export const acceptedFormat = (accept: string | undefined): RunFormat | undefined => {
  for (const item of (accept ?? "").split(",")) {
    const type = item.split(";")[0]?.trim().toLowerCase()
    if (type === "text/plain") return "text"
    if (type === "application/x-ndjson") return "ndjson"
    if (type === "text/event-stream") return "sse"
  }
  return undefined
}

const acceptedRunFormat = (accept: string | undefined): RunParameters["format"] | undefined => {
  const format = acceptedFormat(accept)
  return format === "sse" ? undefined : format
}

/** Decodes the parameters of a route that starts a run. */
export const decode = (route: RunRoute, query: Entries, form: Entries): Decoded<RunParameters> =>
  Either.gen(function* () {
    const given = yield* merge(query, form)
    const single = (name: string) => given.get(name)?.[0]
    const keepOutput = yield* boolean("keep_output", single("keep_output"))
    const asynchronous = yield* boolean("asynchronous", single("asynchronous"))
    const output = yield* oneOf("output", single("output"), ["keep", "discard"])
    const async = yield* oneOf("async", single("async"), ["yes", "no"])
    const format = yield* oneOf("format", single("format"), formats)
    const alias = given.has("classes") ? "classes" : "conditions"
    const classes = yield* classNames(single(alias) ?? "", alias)
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
      format: format ?? acceptedRunFormat(route.accept) ?? (v1 ? "raw" : "text"),
      v1
    }
  })

/** The `nodes` of `remote-run/nodes`: required, and not empty. */
export const requireNodes = (parameters: RunParameters): Decoded<ReadonlyArray<NodeId>> =>
  parameters.nodes === undefined || parameters.nodes.length === 0
    ? Either.left(invalid("nodes", "expected a comma list of node ids"))
    : Either.right(parameters.nodes)

/** The `format` of a run's output; `text` unless it or `Accept` says another. */
export const decodeOutputFormat = (
  format: string | undefined,
  accept: string | undefined
): Decoded<RunFormat> =>
  Either.map(
    oneOf("format", format, [...formats, "sse"] as const),
    (chosen) => chosen ?? acceptedFormat(accept) ?? "text"
  )
