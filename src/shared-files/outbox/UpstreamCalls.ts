/** Calls of the policy server: HTTP to the relay above this one. */
import type { Agent, ClientRequest, IncomingMessage } from "node:http"
import { FileSystem } from "@effect/platform"
import { Duration, Effect, Layer, Option, Schema } from "effect"
import * as AtOnce from "../../AtOnce.ts"
import { RelayConfig } from "../../config/RelayConfig.ts"
import type { ContentHash } from "../../disk/ContentHash.ts"
import { exchange, type Heard, hear, type PeerRequest } from "../../peers/Exchange.ts"
import { PeerClient } from "../../peers/PeerClient.ts"
import { unreachable as noAnswer, PeerUnreachable } from "../../peers/PeerUnreachable.ts"
import { isRefusal } from "../../peers/RefusalStatus.ts"
import * as SilenceWatch from "../../peers/SilenceWatch.ts"
import { UpstreamFatal, UpstreamRejected } from "../../RelayError.ts"
import * as Span from "../../Span.ts"
import * as CertificateFile from "../../topology/CertificateFile.ts"
import * as WatchedFile from "../../topology/WatchedFile.ts"
import type { SharedFileName } from "../file/FileId.ts"
import { SentBody } from "./SentBody.ts"
import { type SentFile, Upstream, UpstreamUnreachable } from "./Upstream.ts"

/** Of an answer that says no, what is kept. Characters. */
const maxMessage = 200

/** Of an answer's body, what is read so that the connection can be used again. Bytes. */
const maxBody = 16 * 1024

/** What an answer has to say besides its status is waited for no longer. */
const sayWithin = Duration.seconds(5)

/** What `layer` has. */
export const make = Effect.gen(function* () {
  const { output, sharedFiles } = yield* RelayConfig
  if (Option.isNone(output.upstream.url)) {
    const none = unreachable({ message: "this relay has no policy server" })
    return Upstream.of({ put: () => none, has: () => none })
  }
  const url = output.upstream.url.value
  const connections = yield* trusted(url, output.upstream.serverCertificateFile)
  const { forwardTimeout } = sharedFiles
  const calls: Calls = {
    url,
    connections,
    watch: yield* SilenceWatch.make(forwardTimeout),
    listening: { maxLength: maxBody, within: Duration.min(sayWithin, Duration.times(forwardTimeout, 1 / 2)) }
  }
  return Upstream.of({
    put: (file) =>
      Span.begun(
        "Upstream.put",
        () => put(calls, file),
        () => ({ ...file.name })
      ),
    has: (name, hash) =>
      Span.begun(
        "Upstream.has",
        () => has(calls, name, hash),
        () => ({ ...name })
      )
  })
})

/** The policy server of the configuration. Its certificate is taken from the disk again when that changes. */
export const layer = Layer.scoped(Upstream, make)

/** What calls of a policy server need. */
interface Calls {
  readonly url: URL
  readonly connections: Connections
  /** Its patience is for each piece of a request, and for the answer: `shared_files.forward_timeout`. */
  readonly watch: SilenceWatch.SilenceWatch
  /** How much of an answer is read, and for how long. */
  readonly listening: { readonly maxLength: number; readonly within: Duration.Duration }
}

interface Connections {
  /** Those that lead to the owner of the certificate that the file has now. */
  readonly current: Effect.Effect<Agent>
  readonly forget: Effect.Effect<void>
}

/** Connections to the policy server, which are used as long as its certificate file says the same. */
const trusted = (url: URL, file: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const client = yield* PeerClient
    const keys = CertificateFile.keys(file).pipe(
      Effect.mapError(({ message }) => noAnswer("certificate", message)),
      Effect.provideService(FileSystem.FileSystem, fs)
    )
    const { agent, forget } = yield* client.pool({ url, keys })
    let seen: string | undefined
    // Nothing is certified where nothing is encrypted.
    if (url.protocol === "http:") return { current: Effect.succeed(agent), forget } satisfies Connections
    const current = Effect.gen(function* () {
      const version = yield* Effect.provideService(WatchedFile.version(file), FileSystem.FileSystem, fs)
      if (seen !== undefined && seen !== version) yield* forget
      seen = version
      return agent
    })
    return { current, forget } satisfies Connections
  })

const unreachable = ({ message }: { readonly message: string }) => new UpstreamUnreachable({ message })

/** The policy server had closed a connection meanwhile: that says nothing of the policy server. */
const isStale = (error: unknown): boolean => error instanceof PeerUnreachable && error.reason === "stale"

/** Asks; over another connection, once, where the first was stale. To be called in a step of an effect, as `AtOnce` is. */
const ask = <A, E>(
  { connections, watch }: Calls,
  request: PeerRequest,
  use: (response: IncomingMessage) => Effect.Effect<A, E>
) => {
  const once = AtOnce.flatMap(connections.current, (agent) => exchange(agent, request, watch, use))
  return Effect.catchIf(once, isStale, () => Effect.andThen(connections.forget, once))
}

/** To be called in a step of an effect, as `AtOnce` is. */
const put = (calls: Calls, file: SentFile) => {
  let body: SentBody | undefined
  const send = (request: ClientRequest) => {
    body = new SentBody(request, file)
  }
  const answered = (response: IncomingMessage) => {
    const isTaken = isSuccess(response)
    // One that says no is not sent the rest.
    if (!isTaken) body?.stop()
    const wanted = calls.listening
    return AtOnce.flatMap(
      hear(response, isTaken ? { ...wanted, within: calls.watch.patience } : wanted),
      (heard) => meaning(response, heard, calls.url)
    )
  }
  const headers = {
    "content-type": "application/octet-stream",
    "content-length": Buffer.byteLength(file.header) + file.size
  }
  const { url } = calls
  const path = address(url, file.name, `ttl=${inQuery(file.ttl)}`)
  return Effect.catchTag(
    ask(calls, { method: "PUT", url, path, headers, send }, answered),
    "PeerUnreachable",
    (error): Effect.Effect<never, UpstreamFatal | UpstreamUnreachable> =>
      body?.problem === undefined ? unreachable(error) : new UpstreamFatal({ message: body.problem })
  )
}

const has = (calls: Calls, name: SharedFileName, hash: ContentHash) =>
  ask(
    calls,
    {
      method: "HEAD",
      url: calls.url,
      path: address(calls.url, name, `hash=${hash.hex}`),
      headers: {},
      send: (request) => request.end()
    },
    (response) => Effect.flatMap(hear(response, calls.listening), () => presence(response))
  ).pipe(Effect.catchTag("PeerUnreachable", unreachable))

/** What the answer to `HEAD` means. */
const presence = (response: IncomingMessage): Effect.Effect<boolean, UpstreamRejected | UpstreamFatal> => {
  const { statusCode: status = 0 } = response
  if (status === 200) return Effect.succeed(true)
  if (status === 404) return Effect.succeed(false)
  return isRefusal(status)
    ? new UpstreamRejected({ message: `the policy server answered ${status}`, status })
    : fatal(response, "")
}

/** A value of a query, as a form has it. `URLSearchParams` takes as long as all else of an address. */
const inQuery = (text: string): string => encodeURIComponent(text).replaceAll("%20", "+")

/** Path and query. The names are of characters that stand for themselves there. */
const address = (base: URL, { target, source, fileId }: SharedFileName, query: string): string => {
  const file = [target, source, fileId].map(encodeURIComponent).join("/")
  return `${base.pathname.replace(/\/*$/, "/")}rudder/relay-api/shared-files/${file}?${query}`
}

const isSuccess = ({ statusCode = 0 }: IncomingMessage): boolean => statusCode >= 200 && statusCode < 300

/**
 * What the answer to an upload means. One that is whole counts, also where it came before all was sent. That a file is
 * taken has to be said to the end; that it is not, the status alone says.
 */
const meaning = (
  response: IncomingMessage,
  { text, whole }: Heard,
  { host }: URL
): Effect.Effect<void, UpstreamRejected | UpstreamFatal | PeerUnreachable> => {
  const status = response.statusCode ?? 0
  if (isSuccess(response))
    return whole ? Effect.void : noAnswer("broken", `${host}: the answer ${status} broke off`)
  return isRefusal(status)
    ? new UpstreamRejected({ message: messageOf(text), status })
    : fatal(response, text)
}

const fatal = ({ statusCode }: IncomingMessage, text: string) => {
  const message = messageOf(text)
  return new UpstreamFatal({
    message: `the policy server answered ${statusCode}${message === "" ? "" : `: ${message}`}`
  })
}

const decodeMessage = Schema.decodeUnknownOption(Schema.parseJson(Schema.Struct({ message: Schema.String })))

/** What an answer says, in one line: the message of an error of ours, or the text that it is. */
const messageOf = (text: string): string =>
  Option.match(decodeMessage(text), { onNone: () => text, onSome: ({ message }) => message })
    .replace(/[\s\p{Cc}]+/gu, " ")
    .trim()
    .slice(0, maxMessage)
