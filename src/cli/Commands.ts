/**
 * What can be said to the program: its commands and their options. What a command does is in modules of its own, which are
 * loaded when it is called.
 */
import { Command, Options } from "@effect/cli"
import { Effect, Option } from "effect"
import * as ClientCommands from "./ClientCommands.ts"
import { loaded } from "./CommandModule.ts"
import { defaultFolder, serve as serveFolder } from "./Daemon.ts"
import { run } from "./RunCommand.ts"
import { exitCode, StartError } from "./StartError.ts"

/** The program's name. */
export const name = "rudder-relay"

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

const checkFolder = (directory: string, json: boolean) =>
  Effect.flatMap(
    loaded(() => import("./Check.ts")),
    (module) => module.checkFolder({ directory, usual: defaultFolder, json })
  )

const json = Options.boolean("json").pipe(
  Options.withDescription("What a check finds as one JSON document: errors and warnings")
)

/** What is said before a command is said to it: `CommandLine` puts it behind. */
const folderOf = Option.getOrElse(() => defaultFolder)

/** Without a command: what relayd's unit and scripts call. */
const alone = Command.make(name, { config, test, json }, (options) => {
  const folder = folderOf(options.config)
  if (options.test) return checkFolder(folder, options.json)
  if (!options.json) return serveFolder(folder)
  return Effect.fail(
    new StartError({ code: exitCode.configuration, message: "--json is for a check: it belongs to -t" })
  )
})

const serve = Command.make("serve", { config }, (options) => serveFolder(folderOf(options.config))).pipe(
  Command.withDescription("Run the relay on DIR/main.conf")
)

const check = Command.make("check", { config, json }, (options) =>
  checkFolder(folderOf(options.config), options.json)
).pipe(
  Command.withDescription("Read, validate and try everything that serve needs, and say all that is wrong")
)

const directory = Options.text("directory").pipe(
  Options.withDescription("Where it lives; made when it is not there"),
  Options.withPseudoName("DIR"),
  Options.withDefault("sandbox")
)

const sandbox = Command.make("sandbox", { directory }, (options) =>
  Effect.flatMap(
    loaded(() => import("./Sandbox.ts")),
    (module) => module.playIn(options.directory)
  )
).pipe(Command.withDescription("Make a complete relay to play with, with simulated agents, and serve it"))

/** All of it. */
export const program = alone.pipe(
  Command.withDescription(
    "The relay of a Rudder fleet: remote runs down the tree, signed shared files up and across."
  ),
  Command.withSubcommands([serve, check, sandbox, run, ...ClientCommands.commands])
)
