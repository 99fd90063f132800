/** Maps requests to remote runs, and runs to answers. */

import { ServerResponse } from "node:http"
import { HttpApiBuilder, type HttpServerRequest, HttpServerResponse } from "@effect/platform"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import { Effect, Either, Option, Schema, Stream } from "effect"
import { Access } from "../access/Access.ts"
import { callerOf } from "../access/Caller.ts"
import { RelayConfig } from "../config/RelayConfig.ts"
import { BasePath } from "../http/BasePath.ts"
import * as FormBody from "../http/FormBody.ts"
import * as HeaderCount from "../http/HeaderCount.ts"
import * as Query from "../http/Query.ts"
import type { NodeId } from "../NodeId.ts"
import { RelayApi } from "../RelayApi.ts"
import type { InvalidRequest, StorageError } from "../RelayError.ts"
import * as RequestReport from "../RequestReport.ts"
import * as AllowedClasses from "./AllowedClasses.ts"
import { contentType, type RunFormat } from "./journal/RunFormat.ts"
import type { ReadOptions } from "./journal/RunReader.ts"
import * as OutputParameters from "./OutputParameters.ts"
import { RemoteRun, type Run, type RunOrder } from "./RemoteRun.ts"
import { RunNotFound } from "./RemoteRunError.ts"
import * as RunDetail from "./RunDetail.ts"
import { RunId } from "./RunId.ts"
import { RunKey } from "./RunKey.ts"
import * as RunListQuery from "./RunListQuery.ts"
import * as RunParameters from "./RunParameters.ts"
import type { RunTarget } from "./RunPlan.ts"
import * as RunPreview from "./RunPreview.ts"
import * as RunQuery from "./RunQuery.ts"
import type { RunCaller } from "./RunRecord.ts"
import * as RunRest from "./RunRest.ts"

const headers = { "cache-control": "no-store", "x-accel-buffering": "no" }
const json = { headers, contentType: "application/json" }

/**
 * A streamed answer: its head goes out before the first byte is there, and a stream that fails cuts the connection,
 * since an answer that just ends would look complete.
 */
const streamed = (
  request: HttpServerRequest.HttpServerRequest,
  stream: Stream.Stream<Uint8Array, StorageError>,
  type: string
) => {
  const response: unknown =
    request.source === undefined ? undefined : NodeHttpServerRequest.toServerResponse(request)
  const node = response instanceof ServerResponse ? response : undefined
  const body = stream.pipe(
    Stream.onStart(Effect.sync(() => node?.flushHeaders())),
    Stream.onError((cause) =>
      Effect.logError("an answer was cut off", cause).pipe(Effect.andThen(Effect.sync(() => node?.destroy())))
    )
  )
  return HttpServerResponse.stream(body, { headers, contentType: type })
}

const withBody = (
  request: HttpServerRequest.HttpServerRequest,
  run: Run,
  format: RunFormat,
  order: ReadOptions["order"],
  stream?: ReadOptions["stream"]
) => streamed(request, run.read({ format, order, after: 0, stream }), contentType[format])

/** Of a route that starts runs: what else its parameters depend on. */
type StartRoute = Pick<RunParameters.RunRoute, "old" | "more">

/** What a request says of itself, for the log's line of one that is refused: as it stands there, and cut. */
const saidIn = (...sources: ReadonlyArray<Iterable<readonly [string, string]>>) => {
  const said = new Map(sources.flatMap((source) => [...source]))
  const nodes = said.get("nodes")
  return {
    ...(nodes === undefined
      ? {}
      : RequestReport.ids({ all: "nodes", count: "node_count" }, nodes.split(","))),
    classes: (said.get("conditions") ?? said.get("classes")) || undefined,
    actor: said.get("actor"),
    reason: said.get("reason")
  }
}

/** What a request asks for: its form is read, and decoded together with the query. */
const decodeStart = Effect.fn("RemoteRun.decode")(function* (
  request: HttpServerRequest.HttpServerRequest,
  startRoute: StartRoute,
  targetOf: (parameters: RunParameters.RunParameters) => Either.Either<RunTarget, InvalidRequest>
) {
  const { limits, remoteRun } = yield* RelayConfig
  const form = yield* FormBody.read(request, limits.bodyIdleTimeout)
  const { versioned } = yield* BasePath
  const route = { ...startRoute, method: request.method, versioned, accept: request.headers.accept }
  const query = Query.of(request)
  yield* RequestReport.add(saidIn(query, form))
  const parameters = yield* RunParameters.decode(route, query, form)
  const named = RunParameters.classesName(parameters.given)
  yield* AllowedClasses.check(remoteRun.allowedClasses, parameters.classes, named)
  yield* logIgnored(parameters)
  return { parameters, target: yield* targetOf(parameters) }
})

const decodeKey = Schema.decodeOption(RunKey)

const keyOf = (
  request: HttpServerRequest.HttpServerRequest
): Either.Either<RunKey | undefined, InvalidRequest> => {
  const text = request.headers["idempotency-key"]
  if (text === undefined) return Either.right(undefined)
  // Node joins those that come twice, which is a key that neither of them was.
  if (HeaderCount.of("idempotency-key", request) > 1)
    return Either.left(Query.invalid("Idempotency-Key", "it once"))
  return Either.fromOption(decodeKey(text), () =>
    Query.invalid("Idempotency-Key", "1 to 200 printable characters of ASCII")
  )
}

/** An older caller gets its run, whatever else it says; the log says what was not heard. */
const logIgnored = ({ ignored }: RunParameters.RunParameters) =>
  ignored.length === 0
    ? Effect.void
    : Effect.logInfo("parameters of a run that mean nothing here were ignored").pipe(
        Effect.annotateLogs({
          parameters: ignored
            .slice(0, 10)
            .map((name) => name.slice(0, 100))
            .join(", "),
          count: ignored.length
        })
      )

/** Who asks: as the connection and the proxy say, and in the caller's own words. */
const requestedBy = (
  request: HttpServerRequest.HttpServerRequest,
  { actor, reason }: { readonly actor?: string | undefined; readonly reason?: string | undefined }
): Effect.Effect<RunCaller, never, Access> =>
  Effect.map(Access, (access) => {
    const caller = callerOf(request)
    return {
      // Who was let in by the key need not have an address that can be read.
      address: Either.getOrElse(access.clientAddress(caller), () => caller.peer),
      ...(Option.isSome(caller.certificate) ? { key: caller.certificate.value.keyHash } : {}),
      ...(actor === undefined ? {} : { actor }),
      ...(reason === undefined ? {} : { reason })
    }
  })

/** Starts the run that a request asks for, or previews it, and answers in the way it asks for. */
const start = (
  request: HttpServerRequest.HttpServerRequest,
  route: StartRoute,
  targetOf: (parameters: RunParameters.RunParameters) => Either.Either<RunTarget, InvalidRequest>
) =>
  Effect.gen(function* () {
    const { parameters, target } = yield* decodeStart(request, route, targetOf)
    const { classes, output } = parameters
    return yield* startOrder(request, { target, classes, output }, parameters)
  })

/** What is asked for, for the log's line of the request. */
const aboutOrder = (
  { target, classes, output, parent }: Pick<RunOrder, "target" | "classes" | "output" | "parent">,
  { actor, reason, preview }: RunParameters.RunParameters
) => ({
  ...(target._tag === "All" ? { nodes: "all" } : {}),
  ...(target._tag === "One" ? { nodes: target.id, node_count: 1 } : {}),
  ...(target._tag === "Nodes" ? RequestReport.ids({ all: "nodes", count: "node_count" }, target.ids) : {}),
  ...(classes.length === 0 ? {} : RequestReport.ids({ all: "classes", count: "class_count" }, classes)),
  output,
  parent,
  actor,
  reason,
  ...(preview ? { preview } : {})
})

/** Starts or previews a run; how it goes on, who asks and by which key is as the request says. */
const startOrder = (
  request: HttpServerRequest.HttpServerRequest,
  ordered: Pick<RunOrder, "target" | "classes" | "output" | "parent">,
  parameters: RunParameters.RunParameters
) =>
  Effect.gen(function* () {
    const remoteRun = yield* RemoteRun
    const { control, preview, v1 } = parameters
    const by = yield* requestedBy(request, parameters)
    yield* RequestReport.add(aboutOrder(ordered, parameters))
    const order: RunOrder = { ...ordered, control, by, key: yield* keyOf(request) }
    const answered = preview
      ? Effect.map(remoteRun.preview(order), (found) =>
          streamed(request, RunPreview.json(found), json.contentType)
        )
      : Effect.flatMap(remoteRun.start(order), (run) =>
          Effect.as(
            RequestReport.add({
              run: run.id,
              ...(run.isRepeat ? { repeated: true } : { started: run.started.nodes.length })
            }),
            answer(request, run, run.started, parameters)
          )
        )
    return yield* answered.pipe(
      // An existing caller takes any 2xx, and an empty answer, for a node that is not there.
      Effect.catchTag("UnknownTarget", (error) => (v1 ? Effect.succeed(nothing()) : error))
    )
  })

/** Of the type that the agents' output would have. */
const nothing = () => HttpServerResponse.text("", { headers, contentType: contentType.raw })

const answer = (
  request: HttpServerRequest.HttpServerRequest,
  run: Run,
  started: { readonly id: string },
  { async, output, format, v1 }: RunParameters.RunParameters
) => {
  // A run that was started by the same key before may have kept more than is asked for now.
  if (!async) return withBody(request, run, format, "blocks", output === "keep" ? undefined : "none")
  if (output === "keep") return withBody(request, run, format, "live")
  if (v1) return nothing()
  return HttpServerResponse.text(`${JSON.stringify(started)}\n`, {
    status: 202,
    headers,
    contentType: format === "ndjson" ? contentType.ndjson : contentType.text
  })
}

const fresh: StartRoute = { old: false }
const old: StartRoute = { old: true }
const oldOfNodes: StartRoute = { old: true, more: ["nodes"] }

const one = (id: NodeId) => (): Either.Either<RunTarget, InvalidRequest> => Either.right({ _tag: "One", id })
const all = (): Either.Either<RunTarget, InvalidRequest> => Either.right({ _tag: "All" })
const some = (parameters: RunParameters.RunParameters): Either.Either<RunTarget, InvalidRequest> =>
  Either.map(RunParameters.requireNodes(parameters), (ids) => ({ _tag: "Nodes", ids }))

/** Retries those nodes of a run that are not ok; classes and output are those of the run unless others are given. */
const retryRun = (request: HttpServerRequest.HttpServerRequest, text: string) =>
  Effect.gen(function* () {
    const remoteRun = yield* RemoteRun
    yield* RequestReport.add({ run: text, ...saidIn(Query.of(request)) })
    const id = yield* runIdOf(text)
    const { parameters } = yield* decodeStart(request, { old: false, more: ["only"] }, all)
    const { given } = parameters
    const only = yield* RunRest.decodeOnly(given.get("only")?.[0])
    const rest = yield* remoteRun.rest(id, only)
    if (rest.nodes.length === 0) return HttpServerResponse.text('{"nodes":[]}\n', json)
    const order = {
      target: { _tag: "Nodes", ids: rest.nodes } as const,
      classes: given.has("classes") || given.has("conditions") ? parameters.classes : rest.classes,
      output: given.has("output") || given.has("keep_output") ? parameters.output : rest.output,
      parent: id
    }
    const { remoteRun: settings } = yield* RelayConfig
    yield* AllowedClasses.check(settings.allowedClasses, order.classes)
    return yield* startOrder(request, order, { ...parameters, output: order.output })
  })

const decodeRunId = Schema.decodeOption(RunId)

/** What is no run's id is the id of no run. */
const runIdOf = (text: string): Either.Either<RunId, RunNotFound> =>
  Either.fromOption(
    decodeRunId(text),
    () => new RunNotFound({ message: `no run ${text.slice(0, 100)}`, run: text.slice(0, 100) })
  )

const findRun = (text: string) =>
  Effect.gen(function* () {
    const remoteRun = yield* RemoteRun
    return yield* remoteRun.find(yield* runIdOf(text))
  })

const listNames = Object.keys(RunQuery.List.fields)
const outputNames = Object.keys(RunQuery.Output.fields)

const listRuns = (request: HttpServerRequest.HttpServerRequest) =>
  Effect.gen(function* () {
    const remoteRun = yield* RemoteRun
    const { limit, selection } = yield* RunListQuery.decode(yield* Query.ofList(request, listNames))
    const page = yield* remoteRun.list(limit, selection)
    return HttpServerResponse.text(`${JSON.stringify(page)}\n`, json)
  })

const runOutput = (request: HttpServerRequest.HttpServerRequest, id: string) =>
  Effect.gen(function* () {
    const run = yield* findRun(id)
    const query = yield* Query.ofList(request, outputNames)
    const parameters = yield* OutputParameters.decode(query, request.headers.accept)
    const { format, from } = parameters
    const lastEventId = format === "sse" ? request.headers["last-event-id"] : undefined
    const after = yield* OutputParameters.decodeLastEventId(lastEventId)
    const done = yield* run.doneAt
    // Only sse asks again by itself, and is to be told not to.
    const hasAll =
      (after > 0 && Option.exists(done, (offset) => after >= offset)) ||
      (format === "sse" && from > 0 && Option.isSome(done) && !(yield* run.hasBehind(from)))
    if (hasAll) return HttpServerResponse.empty({ status: 204, headers })
    const chosen = yield* chosenNodes(run, parameters)
    return streamed(
      request,
      run.read({ ...parameters, ...chosen, order: "live", after }),
      contentType[format]
    )
  })

/** Which nodes a caller wants to see: those that run or wait are known beforehand, the others when they have ended. */
const chosenNodes = (run: Run, { nodes, state }: OutputParameters.OutputParameters) =>
  Effect.gen(function* () {
    if (state !== "running" && state !== "waiting")
      return { nodes, ended: state === undefined ? undefined : OutputParameters.endsOf(state) }
    const found = yield* RunDetail.nodesIn(run, state)
    return { nodes: nodes === undefined ? found : new Set([...nodes].filter((node) => found.has(node))) }
  })

const cancelRun = (request: HttpServerRequest.HttpServerRequest, id: string) =>
  Effect.gen(function* () {
    const remoteRun = yield* RemoteRun
    const said = saidIn(Query.of(request))
    yield* RequestReport.add({ ...said, run: id })
    const run = yield* findRun(id)
    const wasGoingOn = yield* remoteRun.cancel(run.id, yield* requestedBy(request, said))
    yield* RequestReport.add({ result: wasGoingOn ? "cancelled" : "was over" })
    const detail = streamed(request, yield* RunDetail.json(run), json.contentType)
    return HttpServerResponse.setStatus(detail, wasGoingOn ? 202 : 200)
  })

/** The handlers of the group `remoteRun`. */
export const layer = HttpApiBuilder.group(RelayApi, "remoteRun", (handlers) =>
  handlers
    .handleRaw("getNode", ({ request, path }) => start(request, fresh, one(path.uuid)))
    .handleRaw("postNode", ({ request, path }) => start(request, fresh, one(path.uuid)))
    .handleRaw("postNodesNode", ({ request, path }) => start(request, old, one(path.uuid)))
    .handleRaw("getNodes", ({ request }) => start(request, oldOfNodes, some))
    .handleRaw("postNodes", ({ request }) => start(request, oldOfNodes, some))
    .handleRaw("getAll", ({ request }) => start(request, old, all))
    .handleRaw("postAll", ({ request }) => start(request, old, all))
    .handleRaw("runs", ({ request }) => listRuns(request))
    .handleRaw("run", ({ request, path }) =>
      Effect.gen(function* () {
        const run = yield* findRun(path.id)
        return streamed(request, yield* RunDetail.json(run), json.contentType)
      })
    )
    .handleRaw("retryRun", ({ request, path }) => retryRun(request, path.id))
    .handleRaw("runOutput", ({ request, path }) => runOutput(request, path.id))
    .handleRaw("cancelRun", ({ request, path }) => cancelRun(request, path.id))
)
