/** How what goes wrong is answered: platform errors as the contract's, and what should not happen without its details. */
import { HttpApiError, HttpServerResponse } from "@effect/platform"
import { Cause, Effect, Option } from "effect"
import { InternalError, InvalidRequest, MethodNotAllowed, StorageError, TooBusy } from "../RelayError.ts"

/** Encodes an error that the API knows; fails with what it does not. */
export type Encode = (
  failure: Effect.Effect<never, unknown>
) => Effect.Effect<HttpServerResponse.HttpServerResponse, unknown>

const decodeFailure = (error: HttpApiError.HttpApiDecodeError) => {
  const [issue] = error.issues
  const parameter = issue?.path.map(String).join(".") ?? ""
  const message = issue?.message ?? error.message
  return parameter === ""
    ? new InvalidRequest({ message })
    : new InvalidRequest({ parameter, message: `${parameter}: ${message}` })
}

/** What the disk said names the relay's own files: the log has it, under the id that the caller is told. */
const withoutPaths = (error: StorageError, request: string) =>
  Effect.logError("a request failed on the disk").pipe(
    Effect.annotateLogs({ request, error: error.message }),
    Effect.andThen(new StorageError({ message: "the relay's disk failed; its log has it", request }))
  )

/** What should not happen is told without details; the log has them under the same id. */
const defect = (cause: Cause.Cause<unknown>, request: string) =>
  Effect.logError("a request failed", cause).pipe(
    Effect.annotateLogs({ request }),
    Effect.andThen(new InternalError({ message: "internal error; the relay's log has it", request }))
  )

/** What goes with an error beside its body. */
const headersOf = (error: unknown): Readonly<Record<string, string>> => {
  if (error instanceof TooBusy) return { "retry-after": String(error.retryAfterSeconds) }
  return error instanceof MethodNotAllowed ? { allow: error.allowed.join(", ") } : {}
}

const translate = (error: unknown, request: string): Effect.Effect<never, unknown> => {
  if (error instanceof HttpApiError.HttpApiDecodeError) return decodeFailure(error)
  return error instanceof StorageError ? withoutPaths(error, request) : Effect.fail(error)
}

/** An error that the API does not know is as unforeseen as a defect. */
const encoded = (
  failure: Effect.Effect<never, unknown>,
  request: string,
  encode: Encode
): Effect.Effect<HttpServerResponse.HttpServerResponse> =>
  Effect.catchAllCause(encode(failure), (cause) => Effect.orDie(encode(defect(cause, request))))

/**
 * The answer to a request that ended with this cause; interrupted where the client has gone.
 *
 * @param request its id
 */
export const answer = (
  cause: Cause.Cause<unknown>,
  request: string,
  encode: Encode
): Effect.Effect<HttpServerResponse.HttpServerResponse> => {
  const error = Cause.failureOption(cause)
  if (Option.isSome(error))
    return Effect.map(
      encoded(translate(error.value, request), request, encode),
      HttpServerResponse.setHeaders(headersOf(error.value))
    )
  // There is no failure in it to be made a defect.
  if (Cause.isInterruptedOnly(cause)) return Effect.failCause(Cause.flatMap(cause, Cause.die))
  return encoded(defect(cause, request), request, encode)
}
