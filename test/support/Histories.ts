/** A history of runs in a folder of its own, and runs of the past to fill it with. */
import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { Duration, Effect, Layer, Option, Stream, TestClock } from "effect"
import { makeSettings } from "../../src/config/GivenSettings.ts"
import { RelayConfig } from "../../src/config/RelayConfig.ts"
import * as NodeDisk from "../../src/disk/NodeDisk.ts"
import { NodeId } from "../../src/NodeId.ts"
import * as FolderHistory from "../../src/remote-run/journal/FolderHistory.ts"
import { Kind } from "../../src/remote-run/journal/JournalRecord.ts"
import { NodeLog } from "../../src/remote-run/journal/NodeLog.ts"
import { RunHistory } from "../../src/remote-run/journal/RunHistory.ts"
import * as RunListing from "../../src/remote-run/journal/RunListing.ts"
import * as RunReader from "../../src/remote-run/journal/RunReader.ts"
import { generator, type RunId } from "../../src/remote-run/RunId.ts"
import { alone } from "../../src/testing/Leases.ts"
import { type FileOperation, failingFiles } from "./FailingFiles.ts"
import { logLines } from "./LogLines.ts"

export const day = Duration.toMillis(Duration.days(1))
/** When the tests begin: runs of a day ago are of an older folder. */
export const today = Date.parse("2026-01-05T12:00:00Z")

export interface World {
  readonly directory: string
  readonly lines: ReadonlyArray<string>
}

/** How a history differs from others. */
export interface HistoryOptions {
  /** Bytes that it keeps. */
  readonly maxSize?: number
  readonly fails?: (operation: FileOperation) => boolean
}

/** A history in a folder that may have runs; it keeps three days. */
export const historyIn = (directory: string, { maxSize = 1e9, fails = () => false }: HistoryOptions = {}) =>
  Layer.unwrapEffect(
    Effect.map(FileSystem.FileSystem, (real) => {
      const settings = makeSettings({
        general: { nodeId: NodeId.make("me") },
        remoteRun: { directory, retention: Duration.days(3), maxSize }
      })
      return FolderHistory.layer.pipe(
        Layer.provide([Layer.succeed(RelayConfig, settings), alone(), NodeDisk.layer]),
        Layer.provide(Layer.succeed(FileSystem.FileSystem, failingFiles(real, fails)))
      )
    })
  )

/** A folder for a history, which is not there yet, and the log's lines. */
export const withFolder = <A, E>(test: (world: World) => Effect.Effect<A, E, FileSystem.FileSystem>) => {
  const { lines, layer } = logLines()
  return Effect.gen(function* () {
    yield* TestClock.setTime(today)
    const real = yield* FileSystem.FileSystem
    const parent = yield* real.makeTempDirectoryScoped({ prefix: "rudder-relay-runs-" })
    return yield* test({ directory: `${parent}/runs`, lines })
  }).pipe(Effect.scoped, Effect.provide(Layer.merge(NodeContext.layer, layer)))
}

/** A history below a folder of its own; it keeps three days and this many bytes. */
export const withHistory = <A, E>(
  test: (world: World) => Effect.Effect<A, E, RunHistory | FileSystem.FileSystem>,
  options: HistoryOptions & {
    readonly prepare?: (directory: string) => Effect.Effect<void, unknown, FileSystem.FileSystem>
  } = {}
) =>
  withFolder((world) =>
    Effect.gen(function* () {
      yield* options.prepare?.(world.directory) ?? Effect.void
      return yield* Effect.provide(test(world), historyIn(world.directory, options))
    })
  )

let made = 0
/** Of one generator ids never go back; these do, and sort by their making within a day. */
export const idAt = (millis: number) => generator()(millis + made++)
export const pathOf = (directory: string, id: RunId, ending: string) =>
  `${directory}/${id.slice(0, 6)}/${id}.${ending}`

/** What a run is for, and who asked. */
export interface RunOf {
  readonly nodes?: ReadonlyArray<string>
  readonly actor?: string
}

export const headOf = (id: RunId, millis: number, { nodes = ["A"], actor }: RunOf = {}) => ({
  id,
  started: new Date(millis).toISOString(),
  output: "keep" as const,
  classes: [],
  nodes: nodes.length,
  ...(actor === undefined ? {} : { by: { address: "127.0.0.1", actor } })
})
export const runOf = (id: RunId, { nodes = ["A"] }: RunOf = {}) => ({
  event: "run" as const,
  id,
  nodes,
  unknown: [],
  classes: []
})

export const begin = (id: RunId, millis = today, of: RunOf = {}) =>
  Effect.flatMap(RunHistory, (history) => history.begin(id, headOf(id, millis, of), runOf(id, of)))

/** A run whose first node prints so many bytes. */
export const past = (millis: number, bytes = 10, of: RunOf = {}) =>
  Effect.gen(function* () {
    const history = yield* RunHistory
    const id = idAt(millis)
    const journal = yield* begin(id, millis, of)
    for (const [i, node] of (of.nodes ?? ["A"]).entries()) {
      const log = new NodeLog({ journal, node, keep: true, outputLimit: 1e9, started: millis })
      if (i === 0) log.write("stdout", Buffer.alloc(bytes, "x"), () => {})
      log.end({ code: 0 }, millis)
    }
    const { nodes } = headOf(id, millis, of)
    journal.event(Kind.done, "", { event: "done", ok: nodes, failed: 0, duration: 0 }, 0)
    yield* history.finish(id, { ...headOf(id, millis, of), running: 0, ok: nodes, failed: 0 })
    return id
  })

export const selected = (selection: Partial<RunListing.RunSelection> = {}) =>
  Effect.flatMap(RunHistory, (history) =>
    Effect.map(Stream.runCollect(history.list({ ...RunListing.everything, ...selection })), (runs) => [
      ...runs
    ])
  )

export const listed = Effect.map(selected(), (runs) => runs.map(({ id }) => id))

/** What a v1 caller would be given of it. */
export const rawOf = (id: RunId) =>
  Effect.gen(function* () {
    const source = yield* (yield* RunHistory).find(id)
    if (Option.isNone(source)) return undefined
    return yield* Stream.runFold(
      RunReader.stream(source.value, { format: "raw", order: "blocks", single: false, after: 0 }),
      "",
      (sum, bytes) => sum + Buffer.from(bytes).toString("utf8")
    )
  })
