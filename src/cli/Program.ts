/** The command line: what it can say, and how it ends. */
import { Command, Options, ValidationError } from "@effect/cli"
import type { Teardown } from "@effect/platform/Runtime"
import { NodeContext } from "@effect/platform-node"
import { Cause, Console, Effect, Exit, Layer, Option } from "effect"
import * as RegularFiles from "../disk/RegularFiles.ts"
import * as Version from "../system/Version.ts"
import { checkFolder } from "./Check.ts"
import * as ClientOptions from "./ClientOptions.ts"
import * as Completions from "./Completions.ts"
import { withoutColours } from "./PlainConsole.ts"
import { run } from "./RunCommand.ts"
import { sandbox } from "./Sandbox.ts"
import { serveFolder } from "./Serve.ts"
import { exitCode, StartError } from "./StartError.ts"

const name = "rudder-relay"

/** Where relayd has its configuration. */
const defaultFolder = "/opt/rudder/etc/relayd"

const config = Options.text("config").pipe(
  Options.withAlias("c"),
  Options.withDescription(
    `The folder with main.conf, and logging.conf if there; ${defaultFolder} where it is not said`
  ),
  Options.withPseudoName("DIR"),
  Options.optional
)

const test = Options.boolean("test").pipe(
  Options.withAlias("t"),
  Options.withDescription("Check the configuration instead, as the command check does")
)

/** Without a command: what relayd's unit and scripts call. */
const alone = Command.make(name, { config, test }, (options) => {
  const folder = Option.getOrElse(options.config, () => defaultFolder)
  return options.test ? checkFolder(folder) : serveFolder(folder)
})

/** The folder that was said behind the command, or before it. */
const folderOf = (own: Option.Option<string>) =>
  Effect.map(alone, (before) =>
    Option.getOrElse(
      Option.orElse(own, () => before.config),
      () => defaultFolder
    )
  )

const serve = Command.make("serve", { config }, (options) =>
  Effect.flatMap(folderOf(options.config), serveFolder)
).pipe(Command.withDescription("Run the relay on DIR/main.conf"))

const check = Command.make("check", { config }, (options) =>
  Effect.flatMap(folderOf(options.config), checkFolder)
).pipe(
  Command.withDescription("Read, validate and try everything that serve needs, and say all that is wrong")
)

const command = alone.pipe(
  Command.withDescription(
    "The relay of a Rudder fleet: remote runs down the tree, signed shared files up and across. Without a command it serves, as serve does. -V is --version."
  ),
  Command.withSubcommands([serve, check, sandbox, run])
)

const cli = Command.run(command, { name, version: Version.full })

/** Says on stderr why the program ends; a message for what can happen, the whole cause for what should not. */
const report = (cause: Cause.Cause<unknown>): Effect.Effect<void> =>
  Option.match(Cause.failureOption(cause), {
    onNone: () => (Cause.isInterruptedOnly(cause) ? Effect.void : Console.error(Cause.pretty(cause))),
    onSome: (error) => {
      // The command line has already said what is wrong with it.
      if (ValidationError.isValidationError(error)) return Effect.void
      if (!(error instanceof StartError)) return Console.error(Cause.pretty(cause))
      return error.message === "" ? Effect.void : Console.error(error.message)
    }
  })

/** @param argv with node and the script before what was said */
export const program = (argv: ReadonlyArray<string>): Effect.Effect<void, unknown> => {
  const [node = "", script = "", ...args] = argv
  const [first, ...others] = args
  const run = Completions.asksForBash(args)
    ? Effect.flatMap(Completions.bash(command, name), (lines) => Console.log(lines.join("\n")))
    : cli([node, script, ...(first === "-V" ? ["--version", ...others] : ClientOptions.readable(args))])
  return run.pipe(
    Effect.tapErrorCause(report),
    withoutColours,
    Effect.provide(Layer.provideMerge(RegularFiles.layer, NodeContext.layer))
  )
}

/** Exit codes: 0 normal, 1 crash, 2 invalid configuration or command line, 3 any other start error. */
export const teardown: Teardown = (exit, onExit) => {
  if (Exit.isSuccess(exit) || Cause.isInterruptedOnly(exit.cause)) return onExit(exitCode.normal)
  const error = Option.getOrUndefined(Cause.failureOption(exit.cause))
  if (error instanceof StartError) return onExit(error.code)
  onExit(ValidationError.isValidationError(error) ? exitCode.configuration : exitCode.crash)
}
