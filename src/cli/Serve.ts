/** `rudder-relay serve`: the daemon. */
import { Command, Options } from "@effect/cli"
import type { HttpServerError } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { Effect, Layer, Runtime } from "effect"
import { load, RelayConfig, type Settings } from "../config/RelayConfig.ts"
import type { FolderUnusable } from "../disk/FolderUnusable.ts"
import { daemon, live } from "../Relay.ts"
import { Listener } from "../server/Listener.ts"
import type { IdentityError } from "../server/RelayServer.ts"
import { Logging } from "../system/Logging.ts"
import { Reload, type Reloadable } from "../system/Reload.ts"
import * as Tracing from "../system/Tracing.ts"
import { onEachHangup } from "./FirstMoment.ts"
import { exitCode, StartError } from "./StartError.ts"

export const configDirectory = Options.text("config").pipe(
  Options.withDescription("The folder with main.conf, and logging.conf if there"),
  Options.withPseudoName("DIR")
)

/** SIGHUP loads again what can be, as soon as there is something; while the relay stops it does nothing. */
const reloadOnHangup = Layer.scopedDiscard(
  Effect.gen(function* () {
    const { reload } = yield* Reload
    const runtime = yield* Effect.runtime()
    const run = Runtime.runFork(runtime)
    const ignored = Effect.logInfo("stopping: SIGHUP is ignored")
    yield* Effect.acquireRelease(
      Effect.sync(() => onEachHangup(() => void run(reload))),
      () => Effect.sync(() => onEachHangup(() => void run(ignored)))
    )
  })
)

const announce = Layer.effectDiscard(
  Effect.gen(function* () {
    const address = yield* Listener
    const { general, remoteRun } = yield* RelayConfig
    const at = address._tag === "TcpAddress" ? `${address.hostname}:${address.port}` : address.path
    yield* Effect.logInfo("listening").pipe(
      Effect.annotateLogs({ address: at, node: general.nodeId, max_concurrent: remoteRun.maxConcurrent })
    )
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

/** What else than the nodes list can be loaded again. */
const reloadables = (directory: string, logging: Logging["Type"]): ReadonlyArray<Reloadable> => [
  {
    name: "log level",
    reload: load(directory, process.env).pipe(
      Effect.mapError((error) => error.message),
      Effect.provide(NodeContext.layer),
      Effect.flatMap(({ settings }) => logging.setLevel(settings.log.level))
    )
  }
]

/** The daemon on a configuration that has been read, until its scope ends. */
export const relay = (settings: Settings, directory: string) =>
  Layer.unwrapEffect(
    Effect.gen(function* () {
      const logging = yield* Logging
      return Layer.mergeAll(reloadOnHangup, announce).pipe(
        Layer.provideMerge(daemon(reloadables(directory, logging))),
        Layer.provide(live)
      )
    })
  ).pipe(
    Layer.provide(Logging.layer(settings.log, process.stderr.isTTY === true)),
    Layer.provideMerge(Layer.succeed(RelayConfig, settings)),
    Layer.provide(Tracing.layer),
    Layer.mapError(startError(settings))
  )

/** Reads a configuration, or ends with everything that is wrong with it. */
export const configuration = (directory: string) =>
  Effect.mapError(
    load(directory, process.env),
    (error) => new StartError({ code: exitCode.configuration, message: error.message })
  )

export const serve = Command.make("serve", { config: configDirectory }, ({ config }) =>
  Effect.gen(function* () {
    const { settings, warnings } = yield* configuration(config)
    const warn = Layer.effectDiscard(Effect.forEach(warnings, (warning) => Effect.logWarning(warning)))
    const logged = Layer.provide(warn, Logging.layer(settings.log, process.stderr.isTTY === true))
    return yield* Layer.launch(Layer.merge(logged, relay(settings, config)))
  })
).pipe(Command.withDescription("Run the relay on DIR/main.conf"))
