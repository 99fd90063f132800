/**
 * A request of node's server as the platform has requests. Nothing of it is made before somebody asks for it. The
 * platform's own can't be had without the rest of its server.
 */
import type { IncomingMessage, ServerResponse } from "node:http"
import {
  Cookies,
  type FileSystem,
  type Headers,
  HttpIncomingMessage,
  type HttpMethod,
  HttpServerError,
  HttpServerRequest,
  type Multipart,
  UrlParams
} from "@effect/platform"
import * as NodeMultipart from "@effect/platform-node/NodeMultipart"
import * as NodeStream from "@effect/platform-node/NodeStream"
import { Effect, Inspectable, Option, type Stream } from "effect"

type RequestError = HttpServerError.RequestError

/** What is another one than node says. */
interface Changed {
  readonly url?: string | undefined
  readonly headers?: Headers.Headers | undefined
  readonly remoteAddress?: string | undefined
}

const unchanged: Changed = {}

/** A request. `source` and `response` are node's, where the platform's `NodeHttpServerRequest` looks for them. */
export class NodeRequest extends Inspectable.Class implements HttpServerRequest.HttpServerRequest {
  readonly source: IncomingMessage
  readonly response: ServerResponse
  readonly url: string
  private readonly changed: Changed
  private textRead: Effect.Effect<string, RequestError> | undefined
  private multipartRead: HttpServerRequest.HttpServerRequest["multipart"] | undefined

  constructor(source: IncomingMessage, response: ServerResponse, changed: Changed = unchanged) {
    super()
    this.source = source
    this.response = response
    this.changed = changed
    this.url = changed.url ?? source.url ?? ""
    this.textRead = undefined
    this.multipartRead = undefined
  }

  get [HttpServerRequest.TypeId](): HttpServerRequest.TypeId {
    return HttpServerRequest.TypeId
  }

  get [HttpIncomingMessage.TypeId](): HttpIncomingMessage.TypeId {
    return HttpIncomingMessage.TypeId
  }

  get originalUrl(): string {
    return this.source.url ?? ""
  }

  get method(): HttpMethod.HttpMethod {
    // As the platform has it: a method that it does not know is nobody's route.
    return (this.source.method ?? "").toUpperCase() as HttpMethod.HttpMethod
  }

  get headers(): Headers.Headers {
    // As the platform has it: names are in lower case, and `set-cookie`, the one list, is no header of a request.
    return this.changed.headers ?? (this.source.headers as unknown as Headers.Headers)
  }

  get remoteAddress(): Option.Option<string> {
    return Option.fromNullable(this.changed.remoteAddress ?? this.source.socket.remoteAddress)
  }

  get cookies(): Readonly<Record<string, string>> {
    return Cookies.parseHeader(this.headers.cookie ?? "")
  }

  get stream(): Stream.Stream<Uint8Array, RequestError> {
    return NodeStream.fromReadable<RequestError, Uint8Array>(() => this.source, this.undecodable)
  }

  get text(): Effect.Effect<string, RequestError> {
    this.textRead ??= Effect.runSync(
      Effect.cached(this.whole((options) => NodeStream.toString(() => this.source, options)))
    )
    return this.textRead
  }

  get arrayBuffer(): Effect.Effect<ArrayBuffer, RequestError> {
    return Effect.map(
      this.whole((options) => NodeStream.toUint8Array(() => this.source, options)),
      (bytes) => new Uint8Array(bytes).buffer
    )
  }

  get json(): Effect.Effect<unknown, RequestError> {
    return Effect.tryMap(this.text, {
      try: (text): unknown => (text === "" ? null : JSON.parse(text)),
      catch: this.undecodable
    })
  }

  get urlParamsBody(): Effect.Effect<UrlParams.UrlParams, RequestError> {
    return Effect.tryMap(this.text, {
      try: (text) => UrlParams.fromInput(new URLSearchParams(text)),
      catch: this.undecodable
    })
  }

  get multipart(): HttpServerRequest.HttpServerRequest["multipart"] {
    this.multipartRead ??= Effect.runSync(
      Effect.cached(NodeMultipart.persisted(this.source, this.source.headers))
    )
    return this.multipartRead
  }

  get multipartStream(): Stream.Stream<Multipart.Part, Multipart.MultipartError> {
    return NodeMultipart.stream(this.source, this.source.headers)
  }

  get upgrade(): HttpServerRequest.HttpServerRequest["upgrade"] {
    const description = "not an upgradeable ServerRequest"
    return Effect.suspend(
      () => new HttpServerError.RequestError({ request: this, reason: "Decode", description })
    )
  }

  modify(changes: Changed): HttpServerRequest.HttpServerRequest {
    return new NodeRequest(this.source, this.response, {
      url: changes.url ?? this.url,
      headers: changes.headers ?? this.changed.headers,
      remoteAddress: changes.remoteAddress ?? this.changed.remoteAddress
    })
  }

  override toString(): string {
    return `ServerRequest(${this.method} ${this.url})`
  }

  toJSON(): unknown {
    return HttpIncomingMessage.inspect(this, {
      _id: "@effect/platform/HttpServerRequest",
      method: this.method,
      url: this.originalUrl
    })
  }

  /** Made when it is asked for: most requests have no body to be decoded. */
  private get undecodable(): (cause: unknown) => RequestError {
    return (cause) => new HttpServerError.RequestError({ request: this, reason: "Decode", cause })
  }

  /** The body, as large as it may be. */
  private whole<A>(
    read: (options: {
      readonly onFailure: (cause: unknown) => RequestError
      readonly maxBytes: FileSystem.Size | undefined
    }) => Effect.Effect<A, RequestError>
  ): Effect.Effect<A, RequestError> {
    return Effect.flatMap(HttpIncomingMessage.MaxBodySize, (most) =>
      read({ onFailure: this.undecodable, maxBytes: Option.getOrUndefined(most) })
    )
  }
}
