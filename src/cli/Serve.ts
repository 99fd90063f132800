/** `rudder-relay serve`: the daemon. */
import { HttpServer, type HttpServerError } from "@effect/platform"
import { Effect, Layer, Option, Runtime } from "effect"
import { type LoadedSettings, load, RelayConfig, type Settings } from "../config/RelayConfig.ts"
import { daemon } from "../Relay.ts"
import type { IdentityError } from "../server/RelayServer.ts"
import { Logging } from "../system/Logging.ts"
import { Reload } from "../system/Reload.ts"
import * as ConfigurationReload from "./ConfigurationReload.ts"
import * as Preflight from "./Preflight.ts"
import { exitCode, StartError } from "./StartError.ts"

const reloadOnHangup = Layer.scopedDiscard(
  Effect.gen(function* () {
    const { reload } = yield* Reload
    const runtime = yield* Effect.runtime()
    const onHangup = () => void Runtime.runFork(runtime)(reload)
    yield* Effect.acquireRelease(
      Effect.sync(() => process.on("SIGHUP", onHangup)),
      () => Effect.sync(() => process.off("SIGHUP", onHangup))
    )
  })
)

const announce = Layer.effectDiscard(
  Effect.gen(function* () {
    const { address } = yield* HttpServer.HttpServer
    const { general, remoteRun } = yield* RelayConfig
    const at = address._tag === "TcpAddress" ? `${address.hostname}:${address.port}` : address.path
    yield* Effect.logInfo("listening").pipe(
      Effect.annotateLogs({ address: at, node: general.nodeId, max_concurrent: remoteRun.maxConcurrent })
    )
  })
)

const startError = (settings: Settings) => (error: HttpServerError.ServeError | IdentityError) => {
  const { host, port } = settings.general.listen
  const cause = "cause" in error && error.cause instanceof Error ? error.cause : error
  return new StartError({ code: exitCode.start, message: `can't serve on ${host}:${port}: ${cause.message}` })
}

/** The daemon on a configuration that has been read, until its scope ends. */
export const relay = ({ keys, settings }: Pick<LoadedSettings, "keys" | "settings">, directory: string) =>
  Layer.unwrapEffect(
    Effect.gen(function* () {
      const configuration = yield* ConfigurationReload.make(directory, keys, yield* Logging)
      return Layer.mergeAll(reloadOnHangup, announce).pipe(Layer.provideMerge(daemon([configuration])))
    })
  ).pipe(
    Layer.provide(Logging.layer(settings.log, process.stderr.isTTY === true)),
    Layer.provideMerge(Layer.succeed(RelayConfig, settings)),
    // Nothing takes spans yet, and each costs as much as a look at the disk. Who embeds a relay has theirs.
    Layer.provide(Layer.setTracerEnabled(false)),
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
    const all = Preflight.warningsOf(findings)
    const warn = Layer.effectDiscard(Effect.forEach(all, (warning) => Effect.logWarning(warning)))
    const logged = Layer.provide(warn, Logging.layer(settings.log, process.stderr.isTTY === true))
    return yield* Layer.launch(Layer.merge(logged, relay({ keys, settings }, directory)))
  })
