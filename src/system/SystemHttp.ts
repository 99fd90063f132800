/** Maps requests about the relay itself to its parts. */
import { FileSystem, HttpApiBuilder, HttpServerResponse, OpenApi } from "@effect/platform"
import { Effect, Option } from "effect"
import { RelayConfig } from "../config/RelayConfig.ts"
import { RelayApi } from "../RelayApi.ts"
import { RemoteRun } from "../remote-run/RemoteRun.ts"
import { Outbox } from "../shared-files/outbox/Outbox.ts"
import { SharedFileStore } from "../shared-files/store/SharedFileStore.ts"
import { NodesList } from "../topology/NodesList.ts"
import * as ApiPage from "./ApiPage.ts"
import * as Metrics from "./Metrics.ts"
import * as PrometheusText from "./PrometheusText.ts"
import { Reload } from "./Reload.ts"
import type { Health, Status } from "./SystemApi.ts"
import * as SystemLists from "./SystemLists.ts"
import * as Version from "./Version.ts"

const healthOf = (problems: ReadonlyArray<string>): Health =>
  problems.length === 0 ? { status: "success" } : { status: "error", details: problems.join("; ") }

/** What did not load is wrong; what has changed and waits for a restart is not, and is told. */
const configuration = Effect.gen(function* () {
  const reload = yield* Reload
  const problems = yield* reload.problems
  const waiting = yield* reload.waiting
  if (waiting.length === 0) return healthOf(problems)
  const details = [...problems, `changed, and waiting for a restart: ${waiting.join(", ")}`].join("; ")
  return { ...healthOf(problems), details }
})

const nodes = Effect.gen(function* () {
  const list = yield* NodesList
  const status = yield* list.status
  const current = yield* list.current
  return {
    ...healthOf(status._tag === "Error" ? [status.details] : []),
    known: current.size,
    mine: current.mine
  }
})

const upstream = Effect.gen(function* () {
  const { upstream } = yield* (yield* Outbox).status
  return healthOf(Option.toArray(upstream))
})

const outbox = Effect.gen(function* () {
  const { problem, waiting, refused } = yield* (yield* Outbox).status
  return {
    ...healthOf(Option.toArray(problem)),
    waiting: waiting.entries,
    refused: refused.entries,
    bytes: waiting.bytes + refused.bytes
  }
})

const runs = Effect.gen(function* () {
  const remoteRun = yield* RemoteRun
  const { runs, agents, unkillable } = yield* remoteRun.activity
  const problems =
    unkillable === 0 ? [] : [`${unkillable} processes of agents that were ended can't be signalled`]
  return { ...healthOf(problems), active: runs, agents, unkillable }
})

/** What keeps history from the folder that it goes to. */
const historyProblems = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const { enabled, directory } = (yield* RelayConfig).remoteRun
  if (!enabled) return []
  const { type } = yield* fs.stat(directory)
  if (type !== "Directory") return [`${directory} is not a folder`]
  yield* fs.access(directory, { writable: true })
  return []
}).pipe(Effect.catchAll((error) => Effect.succeed([error.message])))

/** The folders that history and shared files go to. */
const storage = Effect.gen(function* () {
  const store = yield* SharedFileStore
  const history = yield* historyProblems
  return healthOf([...history, ...Option.toArray(yield* store.problem)])
})

const status: Effect.Effect<
  Status,
  never,
  FileSystem.FileSystem | NodesList | Outbox | Reload | RelayConfig | RemoteRun | SharedFileStore
> = Effect.all({ configuration, nodes, upstream, outbox, runs, storage })

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

/** The handlers of the group `system`. */
export const layer = HttpApiBuilder.group(RelayApi, "system", (handlers) =>
  handlers
    .handle("info", () =>
      Effect.succeed({
        data: { "major-version": Version.major, "full-version": Version.full },
        result: "success" as const,
        action: "getSystemInfo" as const
      })
    )
    .handle("status", () =>
      Effect.map(status, (data) => ({ data, result: "success" as const, action: "getStatus" as const }))
    )
    .handle("reload", () =>
      Effect.gen(function* () {
        const problems = yield* (yield* Reload).reload
        const action = "reloadConfiguration" as const
        if (problems.length > 0)
          return yield* Effect.fail({ result: "error" as const, action, errorDetails: problems.join("; ") })
        return { result: "success" as const, action }
      })
    )
    .handle("outbox", ({ urlParams }) =>
      Effect.map(SystemLists.outbox(urlParams), (data) => ({
        data,
        result: "success" as const,
        action: "getOutbox" as const
      }))
    )
    .handle("retryOutbox", () =>
      Effect.gen(function* () {
        const entries = yield* (yield* Outbox).retry
        return { data: { entries }, result: "success" as const, action: "retryOutbox" as const }
      })
    )
    .handle("deleteOutboxEntry", ({ path }) =>
      Effect.map(SystemLists.deleteOutboxEntry(path.id), (data) => ({
        data,
        result: "success" as const,
        action: "deleteOutboxEntry" as const
      }))
    )
    .handle("nodes", ({ urlParams }) => SystemLists.nodes(urlParams))
    .handle("files", ({ urlParams }) => SystemLists.files(urlParams))
    .handle("deleteFile", ({ path }) => SystemLists.deleteFile(path))
    .handleRaw("metrics", () =>
      Effect.map(Metrics.text, (text) =>
        HttpServerResponse.text(text, { contentType: PrometheusText.contentType })
      )
    )
    .handleRaw("openapi", () => document)
    .handleRaw("docs", () => page)
)
