/** Connections to a relay: over HTTP, or over TLS with certificates of the program's own. */
import * as Http from "node:http"
import * as Https from "node:https"
import * as Net from "node:net"
import { HttpClient, HttpClientError, type HttpClientRequest } from "@effect/platform"
import { Data, Deferred, Effect, FiberId, Layer, type Scope, Stream } from "effect"
import { hearOut } from "../peers/PeerSocket.ts"
import * as Race from "../Race.ts"
import * as ClientAnswer from "./ClientAnswer.ts"
import { identity } from "./RelayIdentity.ts"

/** How a relay is connected to over TLS. Each is text in PEM. */
export interface ConnectionOptions {
  /** Authorities by which the relay's certificate is trusted, in the place of the public ones. Its name is compared. */
  readonly ca?: string
  /** The relay's own certificate, or several: it is known by its key, and names, which Rudder's have none of, are not compared. */
  readonly pinned?: string
  /**
   * Either: authorities, as in `ca`, or the relay's own certificate, as in `pinned`. What curl's `--cacert` takes, and
   * besides a certificate without a name.
   */
  readonly trusted?: string
  /** The client's certificate: the relay knows the caller by its key. */
  readonly cert?: string
  /** Its secret key. */
  readonly key?: string
}

/** Makes connections, on each of which an answer is heard that comes while the relay takes no more. */
interface Agents {
  readonly http: Http.Agent
  readonly https: Https.Agent
}

const hearing = <A extends Http.Agent>(agent: A): A => {
  const connect = agent.createConnection.bind(agent)
  agent.createConnection = (...asked) => {
    const socket = connect(...asked)
    if (socket instanceof Net.Socket) hearOut(socket)
    return socket
  }
  return agent
}

const agents = (options: Https.AgentOptions): Effect.Effect<Agents, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => ({
      http: hearing(new Http.Agent({ keepAlive: options.keepAlive === true })),
      https: hearing(new Https.Agent(options))
    })),
    ({ http, https }) =>
      Effect.sync(() => {
        http.destroy()
        https.destroy()
      })
  )

/** A request on its way, and its answer as soon as that is there. */
interface Exchange {
  readonly sent: Http.ClientRequest
  readonly answer: Deferred.Deferred<Http.IncomingMessage, Error>
}

/** Adds all listeners in one go: an event that comes before its listener is lost, and an "error" ends the process. */
const begin = (
  { http, https }: Agents,
  url: URL,
  { headers, method }: HttpClientRequest.HttpClientRequest,
  signal: AbortSignal
): Exchange => {
  const options = { method, headers, signal }
  const sent =
    url.protocol === "https:"
      ? Https.request(url, { ...options, agent: https })
      : Http.request(url, { ...options, agent: http })
  const answer = Deferred.unsafeMake<Http.IncomingMessage, Error>(FiberId.none)
  const failed = (error: Error) => Deferred.unsafeDone(answer, Effect.fail(error))
  sent.on("error", failed)
  sent.once("close", () => failed(new Error("the connection was closed without an answer")))
  sent.once("upgrade", (_, socket) => {
    socket.destroy()
    failed(new Error("answered 101, which is no answer to what was asked"))
  })
  sent.once("response", (message) => {
    // Whoever reads it later sees from its state that it failed.
    message.on("error", () => {})
    // What was not sent by then nobody waits for.
    if (!sent.writableEnded) message.once("close", () => sent.destroy())
    Deferred.unsafeDone(answer, Effect.succeed(message))
  })
  return { sent, answer }
}

/** Where the connection takes no more, what follows is told by the answer, or by its absence. */
const write = (sent: Http.ClientRequest, bytes: Uint8Array): Effect.Effect<void> =>
  Effect.async((resume) => {
    const taken = () => resume(Effect.void)
    if (sent.write(bytes)) return taken()
    sent.once("drain", taken)
    return Effect.sync(() => sent.off("drain", taken))
  })

/** A body of a kind that the platform has for other clients. */
class BodyUnknown extends Data.TaggedError("BodyUnknown")<{ readonly message: string }> {}

/** Sends the body, and ends the request. Fails where the body can't be made. */
const send = (
  sent: Http.ClientRequest,
  { body }: HttpClientRequest.HttpClientRequest
): Effect.Effect<void, unknown> => {
  const end = (bytes?: Uint8Array | string) => Effect.sync(() => void sent.end(bytes))
  switch (body._tag) {
    case "Empty":
      return end()
    case "Uint8Array":
      return end(body.body)
    case "Stream":
      return Effect.zipRight(
        Stream.runForEach(body.stream, (bytes) => write(sent, bytes)),
        end()
      )
    case "Raw":
      return typeof body.body === "string" || body.body instanceof Uint8Array
        ? end(body.body)
        : new BodyUnknown({ message: "a body that is neither text, bytes, nor a stream" })
    case "FormData":
      return Effect.flatMap(
        Effect.tryPromise(async () => {
          const form = new Response(body.formData)
          return { type: form.headers.get("content-type") ?? "", bytes: await form.arrayBuffer() }
        }),
        ({ bytes, type }) => {
          sent.setHeader("content-type", type)
          return end(new Uint8Array(bytes))
        }
      )
  }
}

/** Questions that change nothing, which may be asked again on another connection, and so on one that was used before. */
const harmless = ["GET", "HEAD"]

const ask =
  (kept: Agents, fresh: Agents) =>
  (
    request: HttpClientRequest.HttpClientRequest,
    url: URL,
    signal: AbortSignal
  ): ReturnType<Parameters<typeof HttpClient.make>[0]> => {
    const failed = (reason: "Encode" | "Transport") => (cause: unknown) =>
      new HttpClientError.RequestError({ request, reason, cause })
    const once = (agents: Agents): Effect.Effect<Http.IncomingMessage, HttpClientError.RequestError> =>
      Effect.flatMap(
        Effect.try({ try: () => begin(agents, url, request, signal), catch: failed("Transport") }),
        ({ answer, sent }) =>
          Race.first(
            Effect.mapError(Deferred.await(answer), failed("Transport")),
            Effect.zipRight(Effect.mapError(send(sent, request), failed("Encode")), Effect.never)
          ).pipe(
            Effect.onError(() => Effect.sync(() => void sent.destroy())),
            Effect.catchIf(
              () => sent.reusedSocket && !signal.aborted,
              () => once(fresh)
            )
          )
      )
    return Effect.map(once(harmless.includes(request.method) ? kept : fresh), (message) =>
      ClientAnswer.make(request, message)
    )
  }

/**
 * An `HttpClient` whose connections end with its scope. An answer that comes before all was sent is heard. Each request
 * that may change something has a connection of its own. Dies where something is not in PEM.
 */
export const layer = (given: ConnectionOptions = {}): Layer.Layer<HttpClient.HttpClient> =>
  Layer.unwrapScoped(
    Effect.gen(function* () {
      const { pinned: _pinned, trusted: _trusted, ...others } = given
      const options = { ...others, ...identity(given) }
      const kept = yield* agents({ ...options, keepAlive: true })
      const fresh = yield* agents(options)
      return HttpClient.layerMergedContext(Effect.succeed(HttpClient.make(ask(kept, fresh))))
    })
  )
