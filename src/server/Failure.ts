/** How what goes wrong is answered: platform errors as the contract's, and what should not happen without its details. */
import { HttpApiError, HttpServerResponse } from "@effect/platform"
import { Cause, Effect, Option } from "effect"
import { InternalError, InvalidRequest, MethodNotAllowed, StorageError, TooBusy } from "../RelayError.ts"
import type { RequestReport } from "../RequestReport.ts"

/** Encodes an error that the API knows; fails with what it does not. */
export type Encode = (
  failure: Effect.Effect<never, unknown>
) => Effect.Effect<HttpServerResponse.HttpServerResponse, unknown>

/** What a schema says of a parameter that is there several times, which arrives as a list. */
const isRepeated = /^Expected string, actual \[/

const decodeFailure = (error: HttpApiError.HttpApiDecodeError) => {
  const [issue] = error.issues
  const parameter = issue?.path.map(String).join(".") ?? ""
  const message = issue?.message ?? error.message
  return parameter === ""
    ? new InvalidRequest({ message })
    : new InvalidRequest({
        parameter,
        message: `${parameter}: ${isRepeated.test(message) ? "expected it once" : message}`
      })
}

/** A request that has failed. */
export interface Asked {
  readonly id: string
  readonly report: RequestReport
}

/** How it is answered. */
export interface Answer {
  /** As the API has it. */
  readonly error: unknown
  readonly response: HttpServerResponse.HttpServerResponse
}

/** What the disk said names the relay's own files: the log has it, under the id that the caller is told. */
const withoutPaths = ({ message, run }: StorageError, { id, report }: Asked) => {
  if (run === undefined) {
    report.add({ error: message }, "the disk failed a request")
    return new StorageError({ message: "the relay's disk failed; its log has it", request: id })
  }
  report.add({ run, error: message }, "a request was for a run whose file is damaged")
  const told = `the file of run ${run} in the history is damaged; the relay's log has it`
  return new StorageError({ message: told, request: id, run })
}

/** What should not happen is told without details; the log has them under the same id. */
const defect = (cause: Cause.Cause<unknown>, { id }: Asked): Effect.Effect<InternalError> =>
  Effect.logError("a request failed", cause).pipe(
    Effect.annotateLogs({ request: id }),
    Effect.as(new InternalError({ message: "internal error; the relay's log has it", request: id }))
  )

/** What goes with an error beside its body. */
const headersOf = (error: unknown): Readonly<Record<string, string>> => {
  if (error instanceof TooBusy) return { "retry-after": String(error.retryAfterSeconds) }
  return error instanceof MethodNotAllowed ? { allow: error.allowed.join(", ") } : {}
}

const translate = (error: unknown, asked: Asked): unknown => {
  if (error instanceof HttpApiError.HttpApiDecodeError) return decodeFailure(error)
  return error instanceof StorageError ? withoutPaths(error, asked) : error
}

const answerDefect = (cause: Cause.Cause<unknown>, asked: Asked, encode: Encode): Effect.Effect<Answer> =>
  Effect.flatMap(defect(cause, asked), (error) =>
    Effect.map(Effect.orDie(encode(Effect.fail(error))), (response) => ({ error, response }))
  )

/** An error that the API does not know is as unforeseen as a defect. */
const answerError = (error: unknown, asked: Asked, encode: Encode): Effect.Effect<Answer> =>
  Effect.matchCauseEffect(encode(Effect.fail(error)), {
    onFailure: (cause) => answerDefect(cause, asked, encode),
    onSuccess: (response) =>
      Effect.succeed({ error, response: HttpServerResponse.setHeaders(response, headersOf(error)) })
  })

/** The answer to a request that ended with this cause; interrupted where the client has gone. */
export const answer = (cause: Cause.Cause<unknown>, asked: Asked, encode: Encode): Effect.Effect<Answer> => {
  const error = Cause.failureOption(cause)
  if (Option.isSome(error)) return answerError(translate(error.value, asked), asked, encode)
  // There is no failure in it to be made a defect.
  if (Cause.isInterruptedOnly(cause)) return Effect.failCause(Cause.flatMap(cause, Cause.die))
  return answerDefect(cause, asked, encode)
}
