/** The query of a request, with all its repetitions: the handlers decode it, since names have aliases and order counts. */
import type { HttpServerRequest } from "@effect/platform"
import { Either, Option, Schema } from "effect"
import { nearest } from "../config/Nearest.ts"
import { InvalidRequest } from "../RelayError.ts"

/** What is behind the `?` of a request's address, not decoded. */
export const textOf = ({ url }: HttpServerRequest.HttpServerRequest): string => {
  const at = url.indexOf("?")
  return at === -1 ? "" : url.slice(at + 1)
}

/** The parameters of a request's query. */
export const of = (request: HttpServerRequest.HttpServerRequest): URLSearchParams =>
  new URLSearchParams(textOf(request))

/** What decoders ask of a query. */
export interface Parameters {
  /** All values that come under a name, in their order. */
  readonly getAll: (name: string) => ReadonlyArray<string>
  /** The names that there are, each as often as it comes. */
  readonly keys: () => Iterable<string>
}

/** What stands for something else in a query, or may: without it names and values are what is there. */
const encoded = /[%+\ud800-\udfff]|^\?/

/** The parameters of a query in which nothing is encoded: what `URLSearchParams` makes of such a text, in half the time. */
class PlainParameters implements Parameters {
  private readonly parts: ReadonlyArray<string>

  constructor(text: string) {
    this.parts = text.split("&")
  }

  getAll(name: string): ReadonlyArray<string> {
    const found: Array<string> = []
    for (const part of this.parts) {
      if (!part.startsWith(name)) continue
      if (part.length > name.length) {
        if (part[name.length] === "=") found.push(part.slice(name.length + 1))
      } else if (part !== "") found.push("")
    }
    return found
  }

  keys(): ReadonlyArray<string> {
    const found: Array<string> = []
    for (const part of this.parts) {
      if (part === "") continue
      const end = part.indexOf("=")
      found.push(end === -1 ? part : part.slice(0, end))
    }
    return found
  }
}

/** The parameters of a query, by its text, for what is asked most. */
export const parse = (text: string): Parameters =>
  encoded.test(text) ? new URLSearchParams(text) : new PlainParameters(text)

/** A parameter is not what it should be. */
export const invalid = (parameter: string, expected: string): InvalidRequest =>
  new InvalidRequest({ parameter, message: `${parameter}: expected ${expected}` })

/**
 * A whole number, 0 or more, as a request writes it: digits and nothing else, of a number that is exact. `1e3`, `0x10`,
 * ` 5` and the empty text are none, though JavaScript takes them for one.
 */
export const WholeNumber = Schema.compose(
  Schema.String.pipe(Schema.pattern(/^\d{1,16}$/)),
  Schema.compose(Schema.NumberFromString, Schema.NonNegativeInt)
)

/** How many entries a page of a list has. */
export const Limit = WholeNumber.pipe(Schema.between(1, 1000))

/** What a parameter's text means, where there is one. @param expected completes what is said of another text */
export const read = <A>(
  name: string,
  text: string | undefined,
  expected: string,
  decode: (text: string) => Option.Option<A>
): Either.Either<Option.Option<A>, InvalidRequest> => {
  if (text === undefined) return Either.right(Option.none())
  const found = decode(text)
  return Option.isSome(found) ? Either.right(found) : Either.left(invalid(name, expected))
}

/** How many entries a page has where a request does not say. */
const usualLimit = 50
const decodeLimit = Schema.decodeOption(Limit)

/** How many entries of a list are asked for by the parameter `limit`. */
export const limit = (text: string | undefined): Either.Either<number, InvalidRequest> =>
  Either.map(
    read("limit", text, "a whole number from 1 to 1000", decodeLimit),
    Option.getOrElse(() => usualLimit)
  )

/**
 * Refuses what is none of a route's parameters: a misspelt one would mean the opposite of what was meant, such as to keep
 * a file for ever.
 */
export const onlyKnown = (
  search: Parameters,
  known: ReadonlyArray<string>
): Either.Either<void, InvalidRequest> => {
  for (const name of search.keys()) if (!known.includes(name)) return Either.left(unknown(name, known))
  return Either.void
}

const undecodable = new InvalidRequest({ message: "the query is not percent-encoded text" })

const isDecodable = (text: string): boolean => {
  if (!text.includes("%")) return true
  try {
    decodeURIComponent(text)
    return true
  } catch {
    return false
  }
}

/**
 * The query of a list, each of whose parameters narrows it: what is misspelt, or no percent-encoded text, would be answered with
 * everything, and the caller take that for what was asked.
 */
export const ofList = (
  request: HttpServerRequest.HttpServerRequest,
  known: ReadonlyArray<string>
): Either.Either<URLSearchParams, InvalidRequest> => {
  const text = textOf(request)
  if (!isDecodable(text)) return Either.left(undecodable)
  const search = new URLSearchParams(text)
  return Either.map(onlyKnown(search, known), () => search)
}

/** A name that is none of a route's parameters. */
export const unknown = (given: string, known: ReadonlyArray<string>): InvalidRequest => {
  const meant = nearest(given, known)
  const expected =
    meant === undefined
      ? `expected one of this route's parameters: ${known.join(", ")}`
      : `this route has no such parameter; expected perhaps ${meant}`
  const name = given.slice(0, 100)
  return new InvalidRequest({ parameter: name, message: `${name}: ${expected}` })
}

/** A parameter that may be absent, and comes once; empty is absent. */
export const parameter = (
  search: Parameters,
  name: string
): Either.Either<Option.Option<string>, InvalidRequest> => {
  const given = search.getAll(name)
  if (given.length > 1) return Either.left(invalid(name, "it once"))
  return Either.right(given[0] === undefined || given[0] === "" ? Option.none() : Option.some(given[0]))
}
