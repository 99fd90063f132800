/** The policy server as the one to whom shared files are sent, and who is asked for them. */
import type { ClientRequest, IncomingMessage } from "node:http"
import { Readable } from "node:stream"
import { FileSystem } from "@effect/platform"
import { Context, Data, Duration, Effect, Layer, Option, Schema } from "effect"
import { RelayConfig } from "../../config/RelayConfig.ts"
import type { ContentHash } from "../../disk/ContentHash.ts"
import { exchange, type Heard, hear, type PeerRequest } from "../../peers/Exchange.ts"
import { PeerClient } from "../../peers/PeerClient.ts"
import { unreachable as noAnswer, PeerUnreachable } from "../../peers/PeerUnreachable.ts"
import { UpstreamFatal, UpstreamRejected } from "../../RelayError.ts"
import * as CertificateFile from "../../topology/CertificateFile.ts"
import * as WatchedFile from "../../topology/WatchedFile.ts"
import type { SharedFileName } from "../file/FileId.ts"
import { isRefusal } from "../Refusal.ts"

/** There was no answer: no connection, none to trust, it broke off, or fell silent. Whatever is asked next fares alike. */
export class UpstreamUnreachable extends Data.TaggedError("UpstreamUnreachable")<{
  readonly message: string
}> {}

export interface SentFile {
  readonly name: SharedFileName
  /** As the route's parameter has it. */
  readonly ttl: string
  /** The lines of the header block, and the empty line. */
  readonly header: string
  /** Of the content. Bytes. */
  readonly size: number
  /** The content from its beginning. Called once for each time that it is sent. */
  readonly content: () => Readable
}

export interface UpstreamService {
  /**
   * Sends a file, and succeeds when the policy server has said that it took it over.
   *
   * - `UpstreamRejected`: it will not take this file.
   * - `UpstreamFatal`: it did not take this file this time (or this relay can't read the content).
   * - `UpstreamUnreachable`: no answer. The file may have arrived all the same.
   */
  readonly put: (
    file: SentFile
  ) => Effect.Effect<void, UpstreamRejected | UpstreamFatal | UpstreamUnreachable>
  /** Whether the policy server has this file, with this content. `UpstreamRejected`: it will not take it. */
  readonly has: (
    name: SharedFileName,
    hash: ContentHash
  ) => Effect.Effect<boolean, UpstreamRejected | UpstreamFatal | UpstreamUnreachable>
}

export class Upstream extends Context.Tag("rudder-relay/Upstream")<Upstream, UpstreamService>() {
  /** The policy server of the configuration. Its certificate is taken from the disk again when that changes. */
  static readonly layer = Layer.scoped(
    Upstream,
    Effect.suspend(() => make)
  )
}

/** Of an answer that says no, what is kept. Characters. */
const maxMessage = 200

/** Of an answer's body, what is read so that the connection can be used again. Bytes. */
const maxBody = 16 * 1024

/** What an answer has to say besides its status is waited for no longer. */
const sayWithin = Duration.seconds(5)

const unreachable = ({ message }: { readonly message: string }) => new UpstreamUnreachable({ message })

const make = Effect.gen(function* () {
  const { output, sharedFiles } = yield* RelayConfig
  if (Option.isNone(output.upstream.url)) {
    const none = unreachable({ message: "this relay has no policy server" })
    return Upstream.of({ put: () => none, has: () => none })
  }
  const url = output.upstream.url.value
  const pool = yield* makePool(url, output.upstream.serverCertificateFile)

  const patience = sharedFiles.forwardTimeout
  const listening = { maxLength: maxBody, within: Duration.min(sayWithin, Duration.times(patience, 1 / 2)) }

  /** A connection that the policy server had closed meanwhile is no news of it: then another is made, once. */
  const asking = <A, E>(request: PeerRequest, use: (response: IncomingMessage) => Effect.Effect<A, E>) =>
    Effect.flatMap(pool.current, (connections) => exchange(connections, request, patience, use)).pipe(
      Effect.tapError((error) => (isStale(error) ? pool.forget : Effect.void)),
      Effect.retry({ times: 1, while: isStale })
    )

  const put = (file: SentFile) =>
    Effect.suspend(() => {
      let upload: Upload | undefined
      const send = (request: ClientRequest) => {
        upload = new Upload(request, file)
      }
      const taken = (response: IncomingMessage) =>
        Effect.suspend(() => {
          const isTaken = isSuccess(response)
          // One that says no is not sent the rest.
          if (!isTaken) upload?.stop()
          const wanted = isTaken ? { ...listening, within: patience } : listening
          return Effect.flatMap(hear(response, wanted), (heard) => meaning(response, heard, url))
        })
      const headers = {
        "content-type": "application/octet-stream",
        "content-length": Buffer.byteLength(file.header) + file.size
      }
      return asking(
        { method: "PUT", url: address(url, file.name, { ttl: file.ttl }), headers, send },
        taken
      ).pipe(
        Effect.catchTag(
          "PeerUnreachable",
          (error): Effect.Effect<never, UpstreamFatal | UpstreamUnreachable> =>
            upload?.problem === undefined
              ? unreachable(error)
              : new UpstreamFatal({ message: upload.problem })
        )
      )
    }).pipe(Effect.withSpan("Upstream.put", { attributes: { ...file.name } }))

  const has = (name: SharedFileName, hash: ContentHash) =>
    asking(
      {
        method: "HEAD",
        url: address(url, name, { hash: hash.hex }),
        headers: {},
        send: (request) => request.end()
      },
      (response) =>
        Effect.flatMap(
          hear(response, listening),
          (): Effect.Effect<boolean, UpstreamRejected | UpstreamFatal> => {
            const { statusCode: status = 0 } = response
            if (status === 200) return Effect.succeed(true)
            if (status === 404) return Effect.succeed(false)
            return isRefusal(status)
              ? new UpstreamRejected({ message: `the policy server answered ${status}`, status })
              : fatal(response, "")
          }
        )
    ).pipe(
      Effect.catchTag("PeerUnreachable", unreachable),
      Effect.withSpan("Upstream.has", { attributes: { ...name } })
    )

  return Upstream.of({ put, has })
})

const isStale = (error: unknown): boolean => error instanceof PeerUnreachable && error.reason === "stale"

/** Connections to the policy server, which are used as long as its certificate file says the same. */
const makePool = (url: URL, file: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const client = yield* PeerClient
    const keys = Effect.provideService(CertificateFile.keys(file), FileSystem.FileSystem, fs)
    const pool = yield* client.pool({ url, keys })
    const forget = Effect.sync(() => pool.forget())
    let seen: string | undefined
    const current = Effect.gen(function* () {
      const version = yield* Effect.provideService(WatchedFile.version(file), FileSystem.FileSystem, fs)
      if (seen !== undefined && seen !== version) yield* forget
      seen = version
      return pool
    })
    return { current, forget }
  })

const address = (
  base: URL,
  { target, source, fileId }: SharedFileName,
  query: Record<string, string>
): URL => {
  const path = ["rudder", "relay-api", "shared-files", target, source, fileId]
    .map(encodeURIComponent)
    .join("/")
  return new URL(`${base.pathname.replace(/\/*$/, "/")}${path}?${new URLSearchParams(query)}`, base)
}

/** Each is taken within `shared_files.forward_timeout`, or the policy server stands still, also over a slow line. Bytes. */
const pieceLength = 64 * 1024

/** As the content gives them, but small enough that it is seen how the sending gets on. */
async function* inPieces(content: Readable): AsyncGenerator<Buffer> {
  for await (const bytes of content) {
    const whole: Uint8Array = bytes
    for (let from = 0; from < whole.length; from += pieceLength)
      yield Buffer.from(whole.buffer, whole.byteOffset + from, Math.min(pieceLength, whole.length - from))
  }
}

/** A body on its way: the header block, then exactly as many bytes of content as were announced. */
class Upload {
  /** Why it can't be sent, where that is not the policy server's fault. */
  problem: string | undefined
  private readonly request: ClientRequest
  private readonly source: Readable
  private readonly content: Readable

  constructor(request: ClientRequest, { header, size, content }: SentFile) {
    this.request = request
    this.source = content()
    this.content = Readable.from(inPieces(this.source), { objectMode: false })
    let left = size
    // What is small goes out in one piece.
    request.cork()
    request.write(header)
    request.once("close", () => this.stop())
    const unreadable = (error: Error) => this.fail(`the content can't be read: ${error.message}`)
    this.source.on("error", unreadable)
    this.content.on("error", unreadable)
    this.content.once("data", () => process.nextTick(() => request.uncork()))
    this.content.on("data", (bytes: Uint8Array) => {
      left -= bytes.length
      if (left < 0) this.fail("the content is longer than it was")
    })
    this.content.once("end", () =>
      left === 0 ? request.end() : this.fail("the content is shorter than it was")
    )
    this.content.pipe(request, { end: false })
  }

  /** Sends no more of it. */
  stop(): void {
    this.content.unpipe(this.request)
    this.content.destroy()
    this.source.destroy()
  }

  private fail(problem: string): void {
    if (this.problem !== undefined || this.request.writableEnded) return
    this.problem = problem
    this.request.destroy(new Error(problem))
  }
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
