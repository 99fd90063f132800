/** How a call of a relay can fail: what the relay says, and what keeps it from saying anything. */
import type { HttpClientError, HttpClientResponse } from "@effect/platform"
import { Effect, Option, Schema } from "effect"
import * as RelayError from "../RelayError.ts"
import { IdempotencyConflict, RunGoesOn, RunNotFound } from "../remote-run/RemoteRunError.ts"
import { BadSignature } from "../shared-files/file/SharedFileError.ts"

/** There is no answer: no connection, a wrong certificate, or one that broke off before the answer. */
export class RelayUnreachable extends Schema.TaggedError<RelayUnreachable>()("RelayUnreachable", {
  message: Schema.String,
  cause: Schema.optional(Schema.Defect)
}) {}

/** The answer is none of a relay's: that of a proxy in between, of another server, or of a newer relay. */
export class UnexpectedAnswer extends Schema.TaggedError<UnexpectedAnswer>()("UnexpectedAnswer", {
  message: Schema.String,
  status: Schema.Int
}) {}

/** Of a run no node is left that is to be run again: nothing was started. */
export class NothingLeft extends Schema.TaggedError<NothingLeft>()("NothingLeft", {
  message: Schema.String,
  /** The run of which nothing is left, by its id. */
  run: Schema.String
}) {}

/** What a relay says when it does not do what it is asked. Each has its fields, and the status of its annotation. */
export const Refusal = Schema.Union(
  RelayError.InvalidRequest,
  RelayError.AccessDenied,
  RelayError.UnknownTarget,
  RelayError.NotFound,
  RelayError.MethodNotAllowed,
  RelayError.RequestTimeout,
  RelayError.PayloadTooLarge,
  RelayError.UpstreamFatal,
  RelayError.UpstreamRejected,
  RelayError.TooBusy,
  RelayError.StorageError,
  RelayError.StorageFull,
  RunNotFound,
  RunGoesOn,
  IdempotencyConflict,
  BadSignature
)
export type Refusal = typeof Refusal.Type

/** Why a call failed. */
export type CallFailure = Refusal | UnexpectedAnswer | RelayUnreachable

const decodeRefusal = Schema.decodeUnknownOption(Schema.parseJson(Refusal))

/** Of an answer that says no, what is shown. Characters. */
const maxMessage = 200

const inOneLine = (text: string): string =>
  text
    .replace(/[\s\p{Cc}]+/gu, " ")
    .trim()
    .slice(0, maxMessage)

/** What the client says that it can't do. */
export const unreachable = (error: HttpClientError.HttpClientError): RelayUnreachable => {
  const { cause } = error
  const why = cause instanceof Error ? reasonOf(cause) : error.message
  return new RelayUnreachable({
    message: `${error.request.method} ${withoutQuery(error.request.url)}: ${why}`,
    cause
  })
}

/** `fetch failed` says nothing: what stands behind it does. */
const reasonOf = (error: Error): string =>
  error.cause instanceof Error ? reasonOf(error.cause) : error.message

/** A query may be as long as a signature and a key are. */
const withoutQuery = (url: string): string => url.split("?")[0] ?? url

/** Fails with what an answer says that is no 2xx. */
export const refused = (
  response: HttpClientResponse.HttpClientResponse
): Effect.Effect<never, Refusal | UnexpectedAnswer> =>
  Effect.flatMap(
    Effect.orElseSucceed(response.text, () => ""),
    (text) => Effect.fail(Option.getOrElse(decodeRefusal(text), () => unexpected(response, text)))
  )

/** The status and the type of an answer: `404 (text/html)`. */
export const kindOf = ({ headers, status }: Answered): string => {
  const [type = ""] = (headers?.["content-type"] ?? "").split(";")
  return type.trim() === "" ? `${status}` : `${status} (${inOneLine(type)})`
}

/** What is known of an answer. */
export interface Answered {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
}

/** An answer that a relay does not give, and what it says, or is wrong with it. A page for browsers is not shown. */
export const unexpected = (answer: Answered, text: string): UnexpectedAnswer => {
  const said = /^\s*</.test(text) ? "" : inOneLine(text)
  return new UnexpectedAnswer({
    status: answer.status,
    message: `answered ${kindOf(answer)}${said === "" ? "" : `: ${said}`}`
  })
}

/** Another time it may be otherwise: the relay is busy, or its disk is, or a proxy's relay is starting. */
export const isWorthAnotherTry = (error: CallFailure): boolean => {
  switch (error._tag) {
    case "RelayUnreachable":
    case "RequestTimeout":
    case "TooBusy":
    case "StorageFull":
    case "UpstreamFatal":
      return true
    case "StorageError":
      // A run's damaged file stays what it is.
      return error.run === undefined
    case "UnexpectedAnswer":
      return error.status >= 500 || error.status === 408 || error.status === 429
    default:
      return false
  }
}
