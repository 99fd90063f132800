/** The command line: what it is taken for, and how it ends. */
import type { Teardown } from "@effect/platform/Runtime"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import { Cause, Clock, Console, Effect, Exit, Layer, Option } from "effect"
import * as RegularFiles from "../disk/RegularFiles.ts"
import * as Stacked from "../Stacked.ts"
import * as Version from "../system/Version.ts"
import * as CommandLine from "./CommandLine.ts"
import { loaded } from "./CommandModule.ts"
import * as Daemon from "./Daemon.ts"
import { withoutColours } from "./PlainConsole.ts"
import { tree } from "./ProgramTree.ts"
import * as Screen from "./Screen.ts"
import { exitCode, StartError } from "./StartError.ts"

/** Says on stderr why the program ends; a message for what can happen, the whole cause for what should not. */
const report = (cause: Cause.Cause<unknown>): Effect.Effect<void> =>
  Option.match(Cause.failureOption(cause), {
    onNone: () => (Cause.isInterruptedOnly(cause) ? Effect.void : Console.error(Cause.pretty(cause))),
    onSome: (error) => {
      if (!(error instanceof StartError)) return Console.error(Cause.pretty(cause))
      // Without a message it was said already.
      return error.message === "" ? Effect.void : Console.error(error.message)
    }
  })

/** What commands ask of the system. */
const system = Layer.mergeAll(RegularFiles.layer.pipe(Stacked.provide(NodeFileSystem.layer)), NodePath.layer)

const wrong = (message: string) => new StartError({ code: exitCode.configuration, message })

/** What is asked for of the program itself. */
const answer = (request: CommandLine.Request) =>
  Effect.gen(function* () {
    switch (request._tag) {
      case "Version":
        return yield* Console.log(Version.full)
      case "Help": {
        const { render } = yield* loaded(() => import("./Help.ts"))
        const look = { width: Screen.stdout.width(), colours: Screen.stdout.colours }
        return yield* Screen.write(`${render(tree, request.path, look).join("\n")}\n`)
      }
      case "Completions": {
        const { script } = yield* loaded(() => import("./CompletionScript.ts"))
        return yield* Screen.write(script(request.shell))
      }
      case "Call": {
        const folder = Daemon.folderOf(request.args)
        if (folder !== undefined) return yield* Daemon.serve(folder)
        const { call } = yield* loaded(() => import("./Called.ts"))
        return yield* call(request.args)
      }
    }
  })

/** For the build: the man page, with its date from `SOURCE_DATE_EPOCH`, in seconds, where builds have to be the same. */
const manPage = Effect.gen(function* () {
  const { render } = yield* loaded(() => import("./ManPage.ts"))
  const now = yield* Clock.currentTimeMillis
  const date = new Date(Number(process.env.SOURCE_DATE_EPOCH || now / 1000) * 1000)
  yield* Screen.write(render(tree, Version.full, date.toISOString().slice(0, 10)))
})

/** @param argv with node and the script before what was said */
export const program = (argv: ReadonlyArray<string>): Effect.Effect<void, unknown> =>
  (argv[2] === "__man"
    ? manPage
    : Effect.flatMap(Effect.mapError(CommandLine.parse(tree, argv.slice(2)), wrong), answer)
  ).pipe(Effect.tapErrorCause(report), withoutColours, Effect.provide(system))

/** Exit codes: 0 normal, 1 crash, 2 invalid configuration or command line, 3 any other start error. */
export const teardown: Teardown = (exit, onExit) => {
  if (Exit.isSuccess(exit) || Cause.isInterruptedOnly(exit.cause)) return onExit(exitCode.normal)
  const error = Option.getOrUndefined(Cause.failureOption(exit.cause))
  onExit(error instanceof StartError ? error.code : exitCode.crash)
}
