/**
 * The kinds of values that a configuration has, as schemas: encoded they are what TOML has, `description` completes
 * "expected …", and what an environment variable says is first turned into that by `fromText`.
 */
import { isAbsolute, resolve } from "node:path"
import { Duration, Option, ParseResult, Schema, SchemaAST } from "effect"
import { isResolvable } from "../Hostname.ts"
import * as Id from "../NodeId.ts"
import * as AccessEntry from "./AccessEntry.ts"
import * as Durations from "./Durations.ts"
import * as Sizes from "./Sizes.ts"

const FromText = Symbol.for("rudder-relay/config/FromText")
type FromText = (text: string) => unknown

/**
 * The TOML value that the text of an environment variable means. Other text stays as it is, for the schema to refuse.
 */
export const fromText = (ast: SchemaAST.AST, text: string): unknown => {
  const read = Option.getOrUndefined(SchemaAST.getAnnotation<FromText>(FromText)(ast))
  return read === undefined ? text : read(text)
}

const expecting = (description: string, read?: FromText) => ({
  description,
  ...(read === undefined ? {} : { [FromText]: read })
})

/** A schema that decodes by a function, which gives none for what can't be decoded. */
const reading = <A, I, From>(
  from: Schema.Schema<From, I>,
  to: Schema.Schema<A>,
  decode: (value: From) => Option.Option<A>,
  encode: (value: A) => From
): Schema.Schema<A, I> =>
  Schema.transformOrFail(from, to, {
    strict: true,
    decode: (value, _, ast) =>
      Option.match(decode(value), {
        onNone: () => ParseResult.fail(new ParseResult.Type(ast, value)),
        onSome: ParseResult.succeed
      }),
    encode: (value) => ParseResult.succeed(encode(value))
  })

/** Made absolute: a relative path starts at the folder that the daemon was started in. */
export const FilePath = Schema.transform(
  Schema.String.pipe(Schema.filter((text) => text !== "" && !text.includes("\0"))),
  Schema.String,
  { strict: true, decode: (text) => (isAbsolute(text) ? text : resolve(text)), encode: (path) => path }
).annotations(expecting("a path"))

/** A path, or a bare name, which the system looks up in `PATH`. */
export const CommandPath = Schema.transform(
  Schema.String.pipe(Schema.filter((text) => text !== "" && !text.includes("\0"))),
  Schema.String,
  {
    strict: true,
    decode: (text) => (text.includes("/") && !isAbsolute(text) ? resolve(text) : text),
    encode: (path) => path
  }
).annotations(expecting("a path, or the name of a command"))

/** Any text, the empty one too. */
export const Text = Schema.String.annotations(expecting("a text"))

/** On or off. */
export const Switch = Schema.Boolean.annotations(
  expecting("true or false", (text) => (text === "true" ? true : text === "false" ? false : text))
)

const digits = /^\d+$/

/** A whole number; the bounds are allowed too. */
export const integer = (from: number, to: number) =>
  Schema.Int.pipe(Schema.between(from, to)).annotations(
    expecting(`a whole number from ${from} to ${to}`, (text) => (digits.test(text) ? Number(text) : text))
  )

const StringOrNumber = Schema.Union(Schema.String, Schema.Number)
const durationForm = 'a duration such as "10s", "5min" or "1h 30m", or a number of seconds'

const readDuration = (value: string | number): Option.Option<Duration.Duration> => {
  if (typeof value === "string" && !/^\d+(\.\d+)?$/.test(value)) return Durations.parse(value)
  const seconds = Number(value)
  return seconds >= 0 && Number.isFinite(seconds) ? Option.some(Duration.seconds(seconds)) : Option.none()
}

/** A number alone is seconds. */
export const Length = reading(
  StringOrNumber,
  Schema.DurationFromSelf,
  readDuration,
  Durations.print
).annotations(expecting(durationForm))

/** A duration that is not nothing. */
export const Period = reading(
  StringOrNumber,
  Schema.DurationFromSelf,
  (value) => Option.filter(readDuration(value), (length) => Duration.toMillis(length) > 0),
  Durations.print
).annotations(expecting(`${durationForm}, longer than 0`))

/** Bytes, at least so many. A number alone is bytes. */
const sizeFrom = (least: number, description: string) =>
  reading(
    StringOrNumber,
    Schema.Number,
    (value) =>
      Option.filter(
        typeof value === "number" ? Option.some(value) : Sizes.parse(value),
        (bytes) => Number.isSafeInteger(bytes) && bytes >= least
      ),
    Sizes.print
  ).annotations(expecting(description))

/** Bytes, from 0. */
export const Size = sizeFrom(0, 'a size such as "50MiB", or a number of bytes')
/** Bytes, from 1024: a request's headers have to fit. */
export const HeaderSize = sizeFrom(1024, "a size of at least 1KiB")

/** One of these words. */
export const oneOf = <const Choices extends readonly [string, ...ReadonlyArray<string>]>(
  ...choices: Choices
) => Schema.Literal(...choices).annotations(expecting(choices.map((choice) => `"${choice}"`).join(" or ")))

/** As the log has its levels; relayd writes `warn` as `warning` too. */
export const LogLevel = Schema.transform(
  Schema.Literal("off", "error", "warn", "warning", "info", "debug", "trace"),
  Schema.Literal("off", "error", "warn", "info", "debug", "trace"),
  { strict: true, decode: (level) => (level === "warning" ? "warn" : level), encode: (level) => level }
).annotations(expecting('"off", "error", "warn", "info", "debug" or "trace"'))

/** The id of a node. */
export const NodeId = Id.NodeId.annotations(expecting("a node id"))

/** Where the relay listens. An IPv6 address is in brackets; port 0 has the system choose. */
export const Listen = reading(
  Schema.String,
  Schema.Struct({ host: Schema.String, port: Schema.Number }),
  (text) => {
    const found = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text)
    const host = found?.[1] ?? found?.[2]
    const port = Number(found?.[3])
    if (host === undefined || port > 65_535) return Option.none()
    const isHost =
      found?.[1] === undefined
        ? AccessEntry.familyOf(host) === 4 || isResolvable(host)
        : AccessEntry.familyOf(host) === 6
    return isHost ? Option.some({ host, port }) : Option.none()
  },
  ({ host, port }) => `${host.includes(":") ? `[${host}]` : host}:${port}`
).annotations(expecting('an address and a port such as "127.0.0.1:3030"'))

const isHost = (text: string): boolean => AccessEntry.familyOf(text) !== 0 || isResolvable(text)

/** The name or address of a machine. */
export const Host = Schema.String.pipe(Schema.filter(isHost)).annotations(expecting("a host name or address"))

/** Empty is the same as absent: Rudder writes the key on the root server too. */
export const HostOrNothing = Schema.String.pipe(
  Schema.filter((text) => text === "" || isHost(text))
).annotations(expecting("a host name or address"))

/** A URL with `http:` or `https:`, and a host. */
export const HttpUrl = reading(
  Schema.String,
  Schema.URLFromSelf,
  (text) => {
    const url = URL.canParse(text) ? new URL(text) : undefined
    return url !== undefined && /^https?:$/.test(url.protocol) && url.hostname !== ""
      ? Option.some(url)
      : Option.none()
  },
  String
).annotations(expecting("an http or https URL"))

/** A list of what `item` reads; in an environment variable, separated by commas. */
export const listOf = <A>(item: Schema.Schema<A, string>) => {
  const each = Option.getOrElse(SchemaAST.getDescriptionAnnotation(item.ast), () => "right")
  return Schema.Array(item).annotations(
    expecting(`a list of which each is ${each}`, (text) =>
      text
        .split(",")
        .map((part) => part.trim())
        .filter((part) => part !== "")
    )
  )
}

/** The name of a class, in which `*` stands for any text. */
export const ClassPattern = Schema.String.pipe(
  Schema.filter((text) => /^[a-zA-Z0-9_*]{1,1024}$/.test(text))
).annotations(expecting("the name of a class, with or without `*`"))

/** What may call: a CIDR, an address or a host name. */
export const AccessRule = listOf(
  Schema.String.pipe(Schema.filter((text) => Option.isSome(AccessEntry.parse(text)))).annotations(
    expecting("an address, a CIDR or a host name")
  )
)

/** Of a client's public key. */
export const KeyHash = Schema.String.pipe(
  Schema.filter((text) => /^sha256\/\/[A-Za-z0-9+/]{43}=$/.test(text))
).annotations(expecting('"sha256//BASE64"'))
