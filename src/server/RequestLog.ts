/**
 * The log's one line about a request: who asked, for what, about what, and what came of it. Requests that change nothing
 * have theirs at `debug`, unless they were refused or failed.
 */
import type { HttpServerRequest } from "@effect/platform"
import { Context, Effect, Either, FiberRef, Layer, LogLevel, Option } from "effect"
import { Access } from "../access/Access.ts"
import { callerOf } from "../access/Caller.ts"
import * as RefusalLog from "../access/RefusalLog.ts"
import * as LogLine from "../LogLine.ts"
import * as RequestReport from "../RequestReport.ts"
import { Logging } from "../system/Logging.ts"

/** A request that has come to its end. */
export interface EndedRequest {
  readonly request: HttpServerRequest.HttpServerRequest
  readonly id: string
  readonly report: RequestReport.RequestReport
  readonly hasEffect: boolean
  /** The typed error that it ended with. */
  readonly error: Option.Option<unknown>
  readonly status: number
  readonly seconds: number
}

/** Writes the line of a request, where it has one. */
export interface RequestLog {
  /** Whether this request has a line, as things are. Cheap: it is asked of every request. */
  readonly isTold: (hasEffect: boolean, status: number) => boolean
  readonly tell: (ended: EndedRequest) => Effect.Effect<void>
}

/** The caller has gone before there was an answer; nginx's word for it. */
export const left = 499

/** A HEAD that finds nothing, or a page that is not there, is an answer. */
const isRefusal = (status: number): boolean => status >= 400 && status !== 404 && status !== left

const textAt = (value: unknown, name: string): string | undefined => {
  const found: unknown =
    typeof value === "object" && value !== null
      ? Object.getOwnPropertyDescriptor(value, name)?.value
      : undefined
  return typeof found === "string" ? found : undefined
}

/** What an error says of itself: its tag, a signature's `reason`, and its message. */
const errorOf = (error: unknown) => {
  const [tag, refusal, message] = ["_tag", "reason", "message"].map((name) => textAt(error, name))
  return {
    ...(tag === undefined ? {} : { tag }),
    ...(refusal === undefined ? {} : { refusal }),
    ...(message === undefined ? {} : { error: RequestReport.cut(message) })
  }
}

/** What is the relay's fault, or its disk's: not that it is busy, or full. */
const isFailure = (status: number): boolean => status >= 500 && status !== 503 && status !== 507

const usualWords = (status: number): string => {
  if (status === left) return "the caller left before its request was answered"
  if (isFailure(status)) return "a request could not be served"
  return status >= 400 ? "a request was refused" : "a request was answered"
}

/** Lines a minute of what one address is refused for, by its tag, and of all refusals. */
const refusals: RefusalLog.Bounds = { ofOne: 30, ofAll: 600 }

/** The lines of requests that are refused: bounded, and what they leave out is told as long as the relay lives. */
export class RefusedRequests extends Context.Tag("rudder-relay/RefusedRequests")<
  RefusedRequests,
  RefusalLog.BoundedLog
>() {
  static readonly layer = Layer.scoped(RefusedRequests, RefusalLog.bounded(refusals))
}

/** The log of a relay's requests. */
export const make: Effect.Effect<RequestLog, never, Access | RefusedRequests> = Effect.gen(function* () {
  const access = yield* Access
  const logging = yield* Effect.serviceOption(Logging)
  const warn = yield* RefusedRequests
  const minimum = yield* FiberRef.get(FiberRef.currentMinimumLogLevel)
  const isDebug = Option.match(logging, {
    onNone: () => () => LogLevel.lessThanEqual(minimum, LogLevel.Debug),
    onSome:
      ({ isEnabled }) =>
      () =>
        isEnabled("debug")
  })

  const whoAsked = (request: HttpServerRequest.HttpServerRequest) => {
    const caller = callerOf(request)
    return {
      address: Either.getOrElse(access.clientAddress(caller), () => caller.peer),
      ...(Option.isSome(caller.certificate) ? { key_hash: caller.certificate.value.keyHash } : {})
    }
  }

  const tell = ({ request, id, report, hasEffect, error, status, seconds }: EndedRequest) => {
    const who = whoAsked(request)
    const words = report.message() ?? usualWords(status)
    const line: Record<string, unknown> = {
      request: id,
      ...who,
      method: report.method,
      route: report.route
    }
    if (Option.isSome(error)) Object.assign(line, errorOf(error.value))
    Object.assign(line, report.about())
    line.status = status
    line.seconds = Math.round(seconds * 1e4) / 1e4
    if (isFailure(status)) return Effect.annotateLogs(Effect.logError(words), line)
    if (status >= 400 && status !== left && (hasEffect || isRefusal(status)))
      return warn(words, `${status} ${textAt(Option.getOrNull(error), "_tag") ?? ""} ${who.address}`, line)
    return LogLine.write(hasEffect ? LogLevel.Info : LogLevel.Debug, words, line)
  }

  return {
    isTold: (hasEffect, status) => hasEffect || isRefusal(status) || isDebug(),
    tell: (ended) => (ended.report.isTold() ? Effect.void : tell(ended))
  }
})
