/** A client of a relay's API, over any `HttpClient`. */
import {
  FileSystem,
  HttpApiClient,
  HttpClient,
  HttpClientError,
  HttpClientRequest,
  HttpClientResponse
} from "@effect/platform"
import type { PlatformError } from "@effect/platform/Error"
import { Context, Effect, Layer, Option, Schema, Stream } from "effect"
import { base, versionedBase } from "../http/BasePath.ts"
import { RelayApi } from "../RelayApi.ts"
import type { RunStarted } from "../remote-run/RunEvent.ts"
import { RunPreview } from "../remote-run/RunPreview.ts"
import type { RunStreamEvent } from "../remote-run/RunStreamEvent.ts"
import {
  type CallFailure,
  NothingLeft,
  refused,
  type UnexpectedAnswer,
  unexpected,
  unreachable
} from "./ClientError.ts"
import * as NodeOutput from "./NodeOutput.ts"
import * as OutputRequest from "./OutputRequest.ts"
import * as RunRequest from "./RunRequest.ts"
import * as RunStream from "./RunStream.ts"
import * as Sharing from "./Sharing.ts"

/** What a relay refuses, it refuses in JSON: what else says no, such as a proxy's page, is none of its answers. */
const isForeign = ({ headers, request, status }: HttpClientResponse.HttpClientResponse): boolean =>
  status >= 400 && request.method !== "HEAD" && !/\bjson\b/i.test(headers["content-type"] ?? "")

/** Says so with the answer: what its decoding would fail with knows neither its status nor its type. */
const withoutForeign = (client: HttpClient.HttpClient): HttpClient.HttpClient =>
  HttpClient.transformResponse(client, (answer) =>
    Effect.filterOrFail(
      answer,
      (response) => !isForeign(response),
      (response) =>
        new HttpClientError.ResponseError({ request: response.request, response, reason: "StatusCode" })
    )
  )

const derive = (api: string) =>
  HttpApiClient.make(RelayApi, { baseUrl: api, transformClient: withoutForeign })

/** Every route, as the API definition has it: parameters, answers and errors by their types. A HEAD's 404 is a value. */
export interface Routes extends Effect.Effect.Success<ReturnType<typeof derive>> {}

/** What a client can ask of a relay. */
export interface RelayClientService {
  /** Each route by itself. */
  readonly routes: Routes
  /**
   * Starts a run each time it is run, and gives its events as they happen. It is read as fast as it is consumed. Where
   * the connection is cut it is taken up again, without loss or repeat, as `RunStream.resuming` says; who ends the
   * stream early leaves, and the run goes on. A start itself is asked for once, unless it has an `idempotencyKey`. Empty
   * where of a run nothing is left to run again.
   */
  readonly run: (request: RunRequest.RunRequest) => Stream.Stream<RunStreamEvent, RunStream.StreamFailure>
  /** The same, each event with the line that it came as, for who passes it on. */
  readonly runLines: (
    request: RunRequest.RunRequest
  ) => Stream.Stream<RunStream.EventOnLine, RunStream.StreamFailure>
  /** What a run would do; nothing is run. An `idempotencyKey` means nothing here. */
  readonly preview: (request: RunRequest.RunRequest) => Effect.Effect<RunPreview, CallFailure>
  /** Starts a run and leaves it to the relay; `follow` shows it. Fails with `NothingLeft` where of a run nothing is left. */
  readonly start: (
    request: RunRequest.RunRequest
  ) => Effect.Effect<RunStarted, RunStream.StreamFailure | NothingLeft>
  /**
   * The events of a run that goes on, or of a past one, from its start, or those after the first `from` (pings not
   * counted). It is taken up again where it was cut, as `run` is.
   */
  readonly follow: (
    run: string,
    options?: { readonly from?: number }
  ) => Stream.Stream<RunStreamEvent, RunStream.StreamFailure>
  /**
   * The output of a run that goes on, or of a past one, as the relay prints it in a format, and as it goes on. It is not
   * taken up again where it is cut: `from` goes on behind what came.
   */
  readonly output: (
    run: string,
    choice?: OutputRequest.OutputSelection
  ) => Stream.Stream<Uint8Array, CallFailure>
  /** The same, each event with the line that it came as, for who passes it on. */
  readonly followLines: (
    run: string,
    options?: { readonly from?: number }
  ) => Stream.Stream<RunStream.EventOnLine, RunStream.StreamFailure>
  /** Cancels a run, below sub-relays too; whether it was going on. */
  readonly cancel: (run: string) => Effect.Effect<boolean, CallFailure>
  /** What one node printed in a run, byte for byte: `NodeOutput.make`. Empty where the run's output was not kept. */
  readonly nodeOutput: (request: NodeOutput.NodeOutputRequest) => Stream.Stream<Uint8Array, CallFailure>
  /** Signs a content (and for whom, under which name, for how long and when), asks whether the relay has it, sends it if not. */
  readonly share: <E, R>(
    request: Sharing.ShareRequest<E, R>
  ) => Effect.Effect<Sharing.Shared, Sharing.ShareFailure | E, R>
  /** The same with a file, read by the platform's `FileSystem`. */
  readonly shareFile: (
    path: string,
    request: Omit<Sharing.ShareRequest<never, never>, "content">
  ) => Effect.Effect<Sharing.Shared, Sharing.ShareFailure | PlatformError, FileSystem.FileSystem>
}

/** Which relay. */
export interface RelayClientOptions {
  /** Its address, such as `http://127.0.0.1:3030`; with a path where a proxy has it below one. */
  readonly url: string | URL
}

/** A client of one relay. */
export class RelayClient extends Context.Tag("rudder-relay/RelayClient")<RelayClient, RelayClientService>() {
  /** A client of the relay at this address, over the `HttpClient` that is there. */
  static readonly layer = (
    options: RelayClientOptions
  ): Layer.Layer<RelayClient, never, HttpClient.HttpClient> => Layer.effect(RelayClient, make(options))
}

/** A client of the relay at this address. */
export const make = ({
  url
}: RelayClientOptions): Effect.Effect<RelayClientService, never, HttpClient.HttpClient> =>
  Effect.gen(function* () {
    const api = apiOf(url)
    const client = HttpClient.mapRequest(yield* HttpClient.HttpClient, HttpClientRequest.prependUrl(api))
    const routes = yield* derive(api)
    const run = (request: RunRequest.RunRequest) => RunStream.make(started(client, request))
    return {
      routes,
      run,
      runLines: (request) => RunStream.lines(started(client, request)),
      preview: (request) => preview(client, request),
      start: (request) => firstOf(request, run(request)),
      follow: (id, { from = 0 } = {}) => RunStream.make(following(client, id, from)),
      output: (id, choice = {}) => printed(client, id, choice),
      followLines: (id, { from = 0 } = {}) => RunStream.lines(following(client, id, from)),
      cancel: (id) => cancel(client, id),
      nodeOutput: (request) => NodeOutput.make(client, request),
      share: (request) => Sharing.share(client, request),
      shareFile: (path, request) =>
        Effect.flatMap(FileSystem.FileSystem, (fs) =>
          Sharing.share(client, { ...request, content: fs.stream(path) })
        )
    }
  })

/** Where the API is, at an address that names the server, or the API there. */
const apiOf = (url: string | URL): string => {
  const given = String(url).replace(/\/+$/, "")
  return given.endsWith(base) || given.endsWith(versionedBase) ? given : `${given}${base}`
}

type Answer = Effect.Effect<Option.Option<HttpClientResponse.HttpClientResponse>, CallFailure>

/** What a retry of a run is answered with of which no node is left. */
const NothingToRun = Schema.Struct({ nodes: Schema.Tuple() })
const decodeNothing = HttpClientResponse.schemaBodyJson(NothingToRun)

const ask = (client: HttpClient.HttpClient, request: HttpClientRequest.HttpClientRequest): Answer =>
  client.execute(request.pipe(HttpClientRequest.setHeader("accept", "application/x-ndjson"))).pipe(
    Effect.mapError(unreachable),
    Effect.flatMap((response): Answer => {
      if (response.status < 200 || response.status >= 300) return refused(response)
      return /^application\/x-ndjson\b/i.test(response.headers["content-type"] ?? "")
        ? Effect.asSome(Effect.succeed(response))
        : Effect.matchEffect(decodeNothing(response), {
            onFailure: () => unexpected(response, "these are no events of a run"),
            onSuccess: () => Effect.succeedNone
          })
    })
  )

const output = (client: HttpClient.HttpClient, run: string, from: number): Answer =>
  ask(
    client,
    HttpClientRequest.get(`/remote-run/runs/${encodeURIComponent(run)}/output`).pipe(
      HttpClientRequest.setUrlParams({ format: "ndjson", ...(from > 0 ? { from: `${from}` } : {}) })
    )
  )

/** A run's output, byte by byte. */
const printed = (client: HttpClient.HttpClient, run: string, choice: OutputRequest.OutputSelection) =>
  Stream.unwrap(
    Effect.map(OutputRequest.ask(client, run, choice), ({ stream }) => Stream.mapError(stream, unreachable))
  )

/** A run that goes on, or a past one. */
const following = (client: HttpClient.HttpClient, run: string, from: number): RunStream.Source => ({
  seen: { run, events: from },
  ask: ({ events }) => output(client, run, events),
  canAskAgain: () => true
})

/** A run that is started by the first question. */
const started = (client: HttpClient.HttpClient, request: RunRequest.RunRequest): RunStream.Source => {
  const { idempotencyKey } = request
  const start = HttpClientRequest.post(RunRequest.pathOf(request)).pipe(
    HttpClientRequest.bodyUrlParams(RunRequest.formOf(request)),
    idempotencyKey === undefined
      ? (one) => one
      : HttpClientRequest.setHeader("idempotency-key", idempotencyKey)
  )
  return {
    seen: { run: undefined, events: 0 },
    ask: ({ run, events }) => (run === undefined ? ask(client, start) : output(client, run, events)),
    // What was started is never started again.
    canAskAgain: ({ run }) => run !== undefined || idempotencyKey !== undefined
  }
}

/** The answer has every node's state: it is as long as the run was large, and not what was asked for. */
const cancel = (client: HttpClient.HttpClient, run: string): Effect.Effect<boolean, CallFailure> =>
  client.execute(HttpClientRequest.del(`/remote-run/runs/${encodeURIComponent(run)}`)).pipe(
    Effect.mapError(unreachable),
    Effect.flatMap((response) =>
      response.status === 200 || response.status === 202
        ? Effect.as(Effect.ignore(Stream.runDrain(response.stream)), response.status === 202)
        : refused(response)
    )
  )

/** Of a retry, that there is nothing to do is an answer too. */
const decodePreview = HttpClientResponse.schemaBodyJson(Schema.Union(RunPreview, NothingToRun))

const preview = (client: HttpClient.HttpClient, request: RunRequest.RunRequest) =>
  client
    .execute(
      HttpClientRequest.post(RunRequest.pathOf(request)).pipe(
        HttpClientRequest.bodyUrlParams(RunRequest.formOf(request, { preview: true }))
      )
    )
    .pipe(
      Effect.mapError(unreachable),
      Effect.flatMap((response) =>
        response.status === 200
          ? Effect.mapBoth(decodePreview(response), {
              onFailure: () => unexpected(response, "it is no preview"),
              onSuccess: (found): RunPreview => ({ unknown: [], ...found })
            })
          : refused(response)
      )
    )

const noFirst = unexpected({ status: 200 }, "the run's stream has no first event")

/** A stream without any event is that of no run: one that is cut before its first fails. */
const noneOf = ({ nodes }: RunRequest.RunRequest): Effect.Effect<never, NothingLeft | UnexpectedAnswer> =>
  typeof nodes === "object" && "restOf" in nodes
    ? new NothingLeft({ message: `no node of run ${nodes.restOf} is to be run again`, run: nodes.restOf })
    : noFirst

const firstOf = (
  request: RunRequest.RunRequest,
  events: Stream.Stream<RunStreamEvent, RunStream.StreamFailure>
): Effect.Effect<RunStarted, RunStream.StreamFailure | NothingLeft> =>
  events.pipe(
    Stream.filter(({ event }) => event !== "ping"),
    Stream.runHead,
    Effect.flatMap(
      Option.match({
        onNone: () => noneOf(request),
        onSome: (first): Effect.Effect<RunStarted, NothingLeft | UnexpectedAnswer> =>
          first.event === "run" ? Effect.succeed(first) : noFirst
      })
    )
  )
