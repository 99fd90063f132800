/** One parameter of a request: how often it may stand, and what its text means. */
import { Either, ParseResult, Schema } from "effect"
import { InvalidRequest } from "../RelayError.ts"

/** Parameters as they were sent, in order. */
export type Entries = Iterable<readonly [string, string]>

/** What was read, or the error that names the parameter and what was expected. */
export type Decoded<A> = Either.Either<A, InvalidRequest>

/** A parameter is not what it should be; `expected` completes its name and a colon. */
export const invalid = (parameter: string, expected: string): InvalidRequest =>
  new InvalidRequest({ parameter, message: `${parameter}: ${expected}` })

/** What was sent, fit for a message. */
export const quoted = (value: string): string => JSON.stringify(value.slice(0, 100))

/** The values of each name; only `nodes` may repeat. */
export const group = (entries: Entries): Decoded<Map<string, Array<string>>> => {
  const values = new Map<string, Array<string>>()
  for (const [name, value] of entries) {
    const before = values.get(name)
    if (before === undefined) values.set(name, [value])
    else if (name === "nodes") before.push(value)
    else return Either.left(invalid(name.slice(0, 100), "given twice"))
  }
  return Either.right(values)
}

/** The value of a parameter that may stand once. */
export const single = (query: Entries, name: string): Decoded<string | undefined> =>
  Either.map(group(query), (values) => values.get(name)?.[0])

/** One of some words; absent: undefined. */
export const oneOf = <A extends string>(
  name: string,
  value: string | undefined,
  choices: ReadonlyArray<A>
): Decoded<A | undefined> => {
  if (value === undefined) return Either.right(undefined)
  const choice = choices.find((known) => known === value)
  return choice === undefined
    ? Either.left(invalid(name, `expected ${choices.join(" or ")}, got ${quoted(value)}`))
    : Either.right(choice)
}

/** `true` or `false`, in any case; absent: undefined. */
export const boolean = (name: string, value: string | undefined): Decoded<boolean | undefined> =>
  Either.map(oneOf(name, value?.toLowerCase(), ["true", "false"]), (text) =>
    text === undefined ? undefined : text === "true"
  )

/** The items of comma lists, each once, without blanks. */
export const list = (values: ReadonlyArray<string>): ReadonlyArray<string> => [
  ...new Set(
    values
      .flatMap((value) => value.split(","))
      .map((item) => item.trim())
      .filter((item) => item !== "")
  )
]

/** Each item by a schema whose message says what was expected. */
export const decodeList = <A>(
  name: string,
  items: ReadonlyArray<string>,
  schema: Schema.Schema<A, string>
): Decoded<ReadonlyArray<A>> => {
  const decode = Schema.decodeEither(schema)
  return Either.all(
    items.map((item) =>
      Either.mapLeft(decode(item), (error) =>
        invalid(name, `${ParseResult.ArrayFormatter.formatErrorSync(error)[0]?.message}, got ${quoted(item)}`)
      )
    )
  )
}
