/** Maps requests about the relay itself to its parts. */
import { HttpApiBuilder, HttpServerResponse, OpenApi } from "@effect/platform"
import { Effect, Layer } from "effect"
import * as Query from "../http/Query.ts"
import * as RawHandlers from "../http/RawHandlers.ts"
import { RelayApi } from "../RelayApi.ts"
import * as RequestReport from "../RequestReport.ts"
import { Outbox } from "../shared-files/outbox/Outbox.ts"
import * as ApiPage from "./ApiPage.ts"
import * as Metrics from "./Metrics.ts"
import * as PrometheusText from "./PrometheusText.ts"
import { Reload } from "./Reload.ts"
import { type Info, listParameters } from "./SystemApi.ts"
import * as SystemLists from "./SystemLists.ts"
import * as SystemStatus from "./SystemStatus.ts"
import * as Version from "./Version.ts"

/** In the form in which Rudder's own API answers; the keys in this order. */
const success = <const Action extends string>(action: Action) => ({ result: "success" as const, action })
const successWith = <A, const Action extends string>(action: Action, data: A) => ({
  data,
  ...success(action)
})

/** Always the same, and asked often. */
const version: typeof Info.Type = { "major-version": Version.major, "full-version": Version.full }
const info = Effect.succeed(HttpServerResponse.unsafeJson(successWith("getSystemInfo", version)))

/** The API's description is not secret, and not the same after an upgrade. */
const unkept = { "cache-control": "no-cache" }

/** Made when it is first asked for: most relays never are. */
const document = Effect.sync(() =>
  HttpServerResponse.text(JSON.stringify(OpenApi.fromApi(RelayApi)), {
    contentType: "application/json",
    headers: unkept
  })
)

const page = Effect.map(ApiPage.make(RelayApi), ({ html, policy }) =>
  HttpServerResponse.html(html).pipe(
    HttpServerResponse.setHeaders({
      ...unkept,
      "content-security-policy": policy,
      "referrer-policy": "no-referrer",
      "x-content-type-options": "nosniff"
    })
  )
)

const group = HttpApiBuilder.group(RelayApi, "system", (handlers) =>
  handlers
    .handleRaw("info", () => info)
    .handle("status", () => Effect.map(SystemStatus.status, (data) => successWith("getStatus", data)))
    .handle("reload", () =>
      Effect.gen(function* () {
        const problems = yield* (yield* Reload).reload
        yield* RequestReport.add({ ...(problems.length > 0 ? { error: problems.join("; ") } : {}) })
        const done = success("reloadConfiguration")
        if (problems.length > 0)
          return yield* Effect.fail({ ...done, result: "error" as const, errorDetails: problems.join("; ") })
        return done
      })
    )
    .handle("outbox", ({ request, urlParams }) =>
      Query.ofList(request, listParameters.outbox).pipe(
        Effect.andThen(SystemLists.outbox(urlParams)),
        Effect.map((data) => successWith("getOutbox", data))
      )
    )
    .handle("retryOutbox", () =>
      Effect.gen(function* () {
        const entries = yield* (yield* Outbox).retry
        yield* RequestReport.add({ entries })
        return successWith("retryOutbox", { entries })
      })
    )
    .handle("deleteOutboxEntry", ({ path }) =>
      Effect.map(SystemLists.deleteOutboxEntry(path.id), (data) => successWith("deleteOutboxEntry", data))
    )
    .handle("nodes", ({ request, urlParams }) =>
      Effect.andThen(Query.ofList(request, listParameters.nodes), SystemLists.nodes(urlParams))
    )
    .handle("files", ({ request, urlParams }) =>
      Effect.andThen(Query.ofList(request, listParameters.files), SystemLists.files(urlParams))
    )
    .handle("deleteFile", ({ path }) => SystemLists.deleteFile(path))
    .handleRaw("metrics", () =>
      Effect.map(Metrics.text, (text) =>
        HttpServerResponse.text(text, { contentType: PrometheusText.contentType })
      )
    )
    .handleRaw("openapi", () => document)
    .handleRaw("docs", () => page)
)

/** The handlers of the group `system`. What watches a relay asks `info` all the time: it takes half the work this way. */
export const layer = Layer.merge(
  group,
  RawHandlers.besides(RelayApi, "system", Effect.succeed({ info: () => () => info }))
)
