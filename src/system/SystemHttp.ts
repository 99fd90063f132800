/** Maps requests about the relay itself to its parts. */
import { FileSystem, HttpApiBuilder } from "@effect/platform"
import { Effect, Option } from "effect"
import { RelayApi } from "../RelayApi.ts"
import { RelayConfig } from "../RelayConfig.ts"
import { RemoteRun } from "../remote-run/RemoteRun.ts"
import { SharedFileStore } from "../shared-files/SharedFileStore.ts"
import { NodesList } from "../topology/NodesList.ts"
import { Reload } from "./Reload.ts"
import type { Health, Status } from "./SystemApi.ts"
import * as Version from "./Version.ts"

const healthOf = (problems: ReadonlyArray<string>): Health =>
  problems.length === 0 ? { status: "success" } : { status: "error", details: problems.join("; ") }

const configuration = Effect.flatMap(Reload, (reload) => Effect.map(reload.problems, healthOf))

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

const runs = Effect.gen(function* () {
  const remoteRun = yield* RemoteRun
  const { runs, agents, unkillable } = yield* remoteRun.activity
  const problems =
    unkillable === 0 ? [] : [`${unkillable} processes of agents that were ended can't be signalled`]
  return { ...healthOf(problems), active: runs, agents, unkillable }
})

/** The folders that history and shared files go to. */
const storage = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const store = yield* SharedFileStore
  const { remoteRun } = yield* RelayConfig
  const history = yield* fs
    .access(remoteRun.directory, { writable: true })
    .pipe(Effect.match({ onSuccess: () => [], onFailure: (error) => [error.message] }))
  return healthOf([...history, ...Option.toArray(yield* store.problem)])
})

const status: Effect.Effect<
  Status,
  never,
  FileSystem.FileSystem | NodesList | Reload | RelayConfig | RemoteRun | SharedFileStore
> = Effect.all({ configuration, nodes, runs, storage })

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
)
