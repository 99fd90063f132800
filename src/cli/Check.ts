/** `rudder-relay check`: everything that `serve` would read and need, and all that is wrong with it. */
import { createServer } from "node:net"
import { FileSystem } from "@effect/platform"
import { Console, Effect, Option } from "effect"
import type { Settings } from "../config/Settings.ts"
import * as Printable from "../Printable.ts"
import * as Signals from "../remote-run/agents/Signals.ts"
import { parse } from "../topology/NodesListFile.ts"
import { endOnHangup } from "./FirstMoment.ts"
import * as Preflight from "./Preflight.ts"
import { exitCode, StartError } from "./StartError.ts"

type Findings<R = never> = Effect.Effect<ReadonlyArray<Preflight.Finding>, never, R>

const nothing: ReadonlyArray<Preflight.Finding> = []
const warning = (message: string): ReadonlyArray<Preflight.Finding> => [{ kind: "warning", message }]
const error = (message: string): ReadonlyArray<Preflight.Finding> => [{ kind: "start", message }]

/** A nodes list that does not parse is wrong, though the relay starts with it; one that is absent may still come. */
const nodesList = ({ general }: Settings): Findings<FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const file = general.nodesListFile
    const bytes = yield* Effect.either(fs.readFile(file))
    if (bytes._tag === "Left")
      return warning(`general.nodes_list_file: ${file} can't be read; no nodes are known`)
    return yield* parse(bytes.right).pipe(
      Effect.match({
        onFailure: ({ message }) => error(`general.nodes_list_file: ${file}: ${message}`),
        onSuccess: ({ bad }) =>
          bad.count === 0
            ? nothing
            : warning(
                `general.nodes_list_file: ${bad.count} entries can't be used: ${bad.examples.join(" ")}`
              )
      })
    )
  })

const signals = ({ remoteRun }: Settings): Findings =>
  Effect.map(Signals.canSignalRoot, (allowed) =>
    remoteRun.enabled && remoteRun.useSudo && !allowed
      ? warning(
          "remote_run.use_sudo: this user may not signal what sudo starts, so a time-out or a cancel can't end it; grant the daemon CAP_KILL"
        )
      : nothing
  )

/** Whether the address can be listened on; one that is taken is probably served by the relay itself. */
const listener = ({ general: { listen } }: Settings): Findings =>
  Effect.async((resume) => {
    const server = createServer()
    const { host, port } = listen
    server.once("error", (cause) =>
      resume(
        Effect.succeed(
          "code" in cause && cause.code === "EADDRINUSE"
            ? warning(`general.listen: ${host}:${port} is in use; by the relay, if it runs already`)
            : error(`general.listen: can't listen on ${host}:${port}: ${cause.message}`)
        )
      )
    )
    server.listen(port, host, () => server.close(() => resume(Effect.succeed(nothing))))
    return Effect.sync(() => server.close())
  })

/** Says all that is wrong with the configuration of a folder. */
export const checkFolder = (directory: string) =>
  Effect.gen(function* () {
    yield* Effect.sync(endOnHangup)
    const { findings, settings } = yield* Preflight.examine(directory)
    const more = yield* Option.match(settings, {
      onNone: () => Effect.succeed(nothing),
      onSome: (given) =>
        Effect.map(Effect.all([nodesList(given), signals(given), listener(given)]), (found) => found.flat())
    })
    const all = [...findings, ...more]
    // What others wrote, such as a node's id, is in some of them.
    for (const message of Preflight.warningsOf(all))
      yield* Console.error(`warning: ${Printable.line(message)}`)
    const wrong = Preflight.errorOf(all)
    if (Option.isSome(wrong))
      return yield* new StartError({ code: exitCode.configuration, message: wrong.value.message })
    yield* Console.log(`${directory}: the configuration is valid`)
  })
