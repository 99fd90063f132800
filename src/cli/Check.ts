/** `rudder-relay check`: everything that `serve` would read, and all that is wrong with it. */
import { Command } from "@effect/cli"
import { FileSystem } from "@effect/platform"
import { Console, Effect, Option } from "effect"
import type { Settings } from "../config/RelayConfig.ts"
import * as Signals from "../remote-run/agents/Signals.ts"
import { parse } from "../topology/NodesListFile.ts"
import { endOnHangup } from "./FirstMoment.ts"
import { configDirectory, configuration } from "./Serve.ts"
import { exitCode, StartError } from "./StartError.ts"

type Findings = Effect.Effect<ReadonlyArray<string>, never, FileSystem.FileSystem>

/** A list that does not parse keeps nobody from starting, but it is wrong; one that is absent may still come. */
const nodesList = ({ general }: Settings) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const file = general.nodesListFile
    const bytes = yield* Effect.either(fs.readFile(file))
    if (bytes._tag === "Left")
      return { errors: [], warnings: [`general.nodes_list_file: ${file} can't be read; no nodes are known`] }
    return yield* parse(bytes.right).pipe(
      Effect.match({
        onFailure: (error) => ({
          errors: [`general.nodes_list_file: ${file}: ${error.message}`],
          warnings: []
        }),
        onSuccess: ({ bad }) => ({
          errors: [],
          warnings:
            bad.count === 0
              ? []
              : [`general.nodes_list_file: ${bad.count} entries can't be used: ${bad.examples.join(" ")}`]
        })
      })
    )
  })

const readable = (key: string, file: string): Findings =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    return yield* Effect.match(fs.access(file, { readable: true }), {
      onSuccess: () => [],
      onFailure: (error) => [`${key}: ${file} can't be read: ${error.message}`]
    })
  })

const identity = ({ tls }: Settings): Findings =>
  Option.match(tls.identity, {
    onNone: () => Effect.succeed([]),
    onSome: ({ certificate, key }) =>
      Effect.map(Effect.all([readable("tls.certificate", certificate), readable("tls.key", key)]), (found) =>
        found.flat()
      )
  })

/** A command of several words, or one that is not there: every run would end with an error. */
const command = ({ remoteRun }: Settings): Findings =>
  remoteRun.enabled && remoteRun.command.includes("/")
    ? readable("remote_run.command", remoteRun.command)
    : Effect.succeed([])

const signals = ({ remoteRun }: Settings): Findings =>
  Effect.map(Signals.canSignalRoot, (allowed) =>
    remoteRun.enabled && remoteRun.useSudo && !allowed
      ? [
          "remote_run.use_sudo: this user may not signal what sudo starts, so a time-out or a cancel can't end it; grant the daemon CAP_KILL"
        ]
      : []
  )

export const check = Command.make("check", { config: configDirectory }, ({ config }) =>
  Effect.gen(function* () {
    yield* Effect.sync(endOnHangup)
    const { settings, warnings } = yield* configuration(config)
    const nodes = yield* nodesList(settings)
    const errors = [...nodes.errors, ...(yield* identity(settings))]
    const all = [...warnings, ...nodes.warnings, ...(yield* command(settings)), ...(yield* signals(settings))]
    for (const warning of all) yield* Console.error(`warning: ${warning}`)
    if (errors.length > 0)
      return yield* new StartError({ code: exitCode.configuration, message: errors.join("\n") })
    yield* Console.log(`${config}: the configuration is valid`)
  })
).pipe(Command.withDescription("Read and validate everything, and say all that is wrong"))
