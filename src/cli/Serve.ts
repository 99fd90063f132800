/** `rudder-relay serve`: the daemon. */
import type { HttpServer, HttpServerError } from "@effect/platform"
import { Effect, Layer, Option, Runtime } from "effect"
import { type LoadedSettings, load, RelayConfig } from "../config/RelayConfig.ts"
import type { Settings } from "../config/Settings.ts"
import type { FolderUnusable } from "../disk/FolderUnusable.ts"
import { daemon, live } from "../Relay.ts"
import * as Stacked from "../Stacked.ts"
import { Listener } from "../server/Listener.ts"
import type { IdentityError } from "../server/RelayServer.ts"
import { Logging } from "../system/Logging.ts"
import { Reload } from "../system/Reload.ts"
import * as Tracing from "../system/Tracing.ts"
import * as CompiledProgram from "./CompiledProgram.ts"
import * as ConfigurationReload from "./ConfigurationReload.ts"
import { lineOf } from "./check/Finding.ts"
import { onEachHangup, onEachTermination } from "./FirstMoment.ts"
import * as Preflight from "./Preflight.ts"
import * as ServiceManager from "./ServiceManager.ts"
import { exitCode, StartError } from "./StartError.ts"

/** As `general.listen` and URLs have it. */
const hostAndPort = ({ hostname, port }: HttpServer.TcpAddress): string =>
  `${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`

/** SIGHUP loads again what can be, as soon as there is something; while the relay stops it does nothing. */
const reloadOnHangup = Layer.scopedDiscard(
  Effect.gen(function* () {
    const { reload } = yield* Reload
    const runtime = yield* Effect.runtime()
    const run = Runtime.runFork(runtime)
    const ignored = Effect.logInfo("stopping: SIGHUP is ignored")
    yield* Effect.acquireRelease(
      Effect.sync(() => onEachHangup(() => void run(ServiceManager.reloading(reload)))),
      () => Effect.sync(() => onEachHangup(() => void run(ignored)))
    )
  })
)

/**
 * A stop goes on, whoever asks for it again by SIGTERM. A second Ctrl-C ends the process at once, as ever: what starts its
 * agents then ends them.
 */
const stopOnce = Layer.scopedDiscard(
  Effect.gen(function* () {
    const run = Runtime.runFork(yield* Effect.runtime())
    const ignored = Effect.logInfo("stopping: SIGTERM is ignored")
    yield* Effect.acquireRelease(
      // The first one is the program's to answer.
      Effect.sync(() => onEachTermination(() => {})),
      () => Effect.sync(() => onEachTermination(() => void run(ignored)))
    )
  })
)

/** Says that the daemon listens: in the log, and to who started it. */
const announce = Stacked.unwrap(
  Effect.gen(function* () {
    const listener = yield* Listener
    const settings = yield* RelayConfig
    const { general, remoteRun } = settings
    const address = listener._tag === "TcpAddress" ? hostAndPort(listener) : listener.path
    yield* Effect.logInfo("listening").pipe(
      Effect.annotateLogs({ address, node: general.nodeId, max_concurrent: remoteRun.maxConcurrent })
    )
    yield* Effect.sync(CompiledProgram.started)
    return ServiceManager.layer(settings, address)
  })
)

const startError =
  (settings: Settings) => (error: HttpServerError.ServeError | IdentityError | FolderUnusable) => {
    if (error._tag === "FolderUnusable")
      return new StartError({ code: exitCode.start, message: error.message })
    const { host, port } = settings.general.listen
    const cause = "cause" in error && error.cause instanceof Error ? error.cause : error
    return new StartError({
      code: exitCode.start,
      message: `can't serve on ${host}:${port}: ${cause.message}`
    })
  }

/** The daemon on a configuration that has been read, until its scope ends. */
export const relay = ({ keys, settings }: Pick<LoadedSettings, "keys" | "settings">, directory: string) =>
  Stacked.unwrap(
    Effect.gen(function* () {
      const configuration = yield* ConfigurationReload.make(directory, keys, yield* Logging)
      return Layer.mergeAll(reloadOnHangup, stopOnce, announce).pipe(
        Stacked.provideMerge(daemon([configuration])),
        Stacked.provide(live)
      )
    })
  ).pipe(
    Stacked.provide(Logging.layer(settings.log, process.stderr.isTTY === true)),
    Stacked.provideMerge(Layer.succeed(RelayConfig, settings)),
    Stacked.provide(Tracing.layer),
    Layer.mapError(startError(settings))
  )

/** Reads a configuration, or ends with everything that is wrong with it. */
export const configuration = (directory: string) =>
  Effect.mapError(
    load(directory, process.env),
    (error) => new StartError({ code: exitCode.configuration, message: error.message })
  )

/** Serves the configuration of a folder. */
export const serveFolder = (directory: string) =>
  Effect.gen(function* () {
    const { findings, loaded } = yield* Preflight.examine(directory)
    const error = Preflight.errorOf(findings)
    if (Option.isSome(error)) return yield* error.value
    const { keys, settings } = yield* loaded
    const served = relay({ keys, settings }, directory)
    const all = Preflight.warningsOf(findings)
    // To make the log a second time, beside the relay's, would be a tenth of all Layers of a start.
    if (all.length === 0) return yield* Layer.launch(served)
    // A Layer beside the relay's: in this fiber, what it logs with would stay behind it.
    const warn = Layer.effectDiscard(Effect.forEach(all, (warning) => Effect.logWarning(lineOf(warning))))
    const logged = Layer.provide(warn, Logging.layer(settings.log, process.stderr.isTTY === true))
    return yield* Layer.launch(Layer.merge(logged, served))
  })
