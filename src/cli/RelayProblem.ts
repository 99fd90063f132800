/** What a command says when the relay could not be asked, or refused: one line, with what to do about it. */
import type { HttpApiError, HttpClientError } from "@effect/platform"
import { ParseResult } from "effect"
import { type CallFailure, kindOf, type NothingLeft, unreachable } from "../client/ClientError.ts"
import type { RunCutOff } from "../client/RunStream.ts"
import * as Printable from "../Printable.ts"
import type { InternalError } from "../RelayError.ts"
import * as Patience from "./Patience.ts"
import { exitCode, StartError } from "./StartError.ts"

/** How a call of a client fails: of `run`, `follow` and `share`, and of its `routes`. */
export type RelayFailure =
  | CallFailure
  | RunCutOff
  | NothingLeft
  | InternalError
  | HttpClientError.HttpClientError
  | HttpApiError.HttpApiDecodeError
  | ParseResult.ParseError

/** What TLS says of a certificate that it does not trust. */
const untrusted = /certificate|self-signed|unable to (?:get|verify)|altnames/i

const unreachableLine = (url: string, message: string): string => {
  // The method and the address stand before the reason: the command's user knows neither of the first.
  const reason = message.replace(/^[A-Z]+ \S+: /, "")
  if (reason === Patience.message) return `${url} ${reason}; its log may say what keeps it, if it is a relay`
  if (untrusted.test(reason))
    return `${url} is not trusted: ${reason}; --cacert names a file with the certificate, or its authority's, that is to be trusted`
  return `no answer from ${url}: ${reason}; is a relay running there? --url, or RUDDER_RELAY_URL, says where it is`
}

/** Statuses by which a proxy says that it has no answer to pass on. */
const gateway: ReadonlySet<number> = new Set([502, 503, 504])

const noAnswer = (what: string): string =>
  `${what}, which is no answer of a relay's; is it one, and not older than this program?`

/** An answer that is none of a relay's. */
const foreignLine = (url: string, status: number, what: string): string =>
  gateway.has(status)
    ? `${url} answered ${status}: what is in front of the relay can't reach it`
    : `${url} ${noAnswer(what)}`

/** Which part of an answer is not what it should be: what its types say of that is of no use to who asked. */
const fieldOf = ([issue]: ReadonlyArray<{ readonly path: ReadonlyArray<PropertyKey> }>): string =>
  issue === undefined || issue.path.length === 0
    ? " what can't be understood"
    : ` with a wrong ${issue.path.map(String).join(".")}`

const lineOf = (url: string, options: string, error: RelayFailure): string => {
  switch (error._tag) {
    case "RelayUnreachable":
      return unreachableLine(url, error.message)
    case "RequestError":
      return unreachableLine(url, unreachable(error).message)
    case "ResponseError":
      return error.cause === undefined
        ? foreignLine(url, error.response.status, `answered ${kindOf(error.response)}`)
        : `the answer of ${url} can't be read: ${unreachable(error).message}`
    case "UnexpectedAnswer":
      return foreignLine(url, error.status, error.message)
    case "HttpApiDecodeError":
      return `${url} ${noAnswer(`answered${fieldOf(error.issues)}`)}`
    case "ParseError":
      return `${url} ${noAnswer(`answered${fieldOf(ParseResult.ArrayFormatter.formatErrorSync(error))}`)}`
    case "AccessDenied":
      return `${url} refused: ${error.message}; its log names the address, and the key of its main.conf that allows it (access.policy_server for runs, access.admin for the rest)`
    case "TooBusy":
      return `${url} is busy: ${error.message}; try again in ${error.retryAfterSeconds} s`
    case "RunCutOff":
      return error.run === undefined
        ? `${error.message}; whether the run was started is not known: rudder-relay runs list${options}`
        : `${error.message}; the run goes on: rudder-relay runs output ${error.run}${options}`
    case "NothingLeft":
      return error.message
    case "InternalError":
      return `${url} failed: ${error.message}; its log says why`
    default:
      return `${url} refused: ${error.message}`
  }
}

/**
 * The error as a command ends with it: code 4.
 *
 * @param url the relay's, as it was said
 * @param options what another command is called with besides, to ask the same relay: `AskedRelay.wordsOf`
 */
export const of =
  (url: string, options = "") =>
  (error: RelayFailure): StartError =>
    new StartError({
      code: exitCode.relay,
      message: `rudder-relay: ${Printable.line(lineOf(url, options, error))}`
    })
