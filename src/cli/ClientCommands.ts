/** The commands that ask a relay, but for `run`: what they can be told. What they do is loaded when one is called. */
import { Args, Command, Options } from "@effect/cli"
import { Effect } from "effect"
import { nodeChoices } from "../remote-run/NodeChoice.ts"
import { restReasons } from "../remote-run/RestReason.ts"
import { json, options as relay } from "./ClientOptions.ts"
import { loaded } from "./CommandModule.ts"
import * as RunCommand from "./RunCommand.ts"

const named = <A>(option: Options.Options<A>, name: string, description: string) =>
  option.pipe(Options.withPseudoName(name), Options.withDescription(description))

const text = (name: string, value: string, description: string) =>
  named(Options.text(name), value, description)
const optionalText = (name: string, value: string, description: string) =>
  Options.optional(text(name, value, description))

const operand = (name: string, description: string) =>
  Args.text({ name }).pipe(Args.withDescription(description))

const limit = (description: string) => Options.optional(named(Options.integer("limit"), "N", description))

const runId = operand("RUN", "The run's id, or so much of its beginning that no other begins so")

const share = Command.make(
  "share",
  {
    source: text("source", "ID", "The node that sends the file"),
    target: text("target", "ID", "The node that it is for"),
    key: text("key", "PEM", "A file with the secret key of the source, by which the relay knows it"),
    fileId: optionalText("file-id", "NAME", "Its name there; else the file's own"),
    ttl: optionalText("ttl", "TTL", "How long it is kept, such as '2d 12h'; else for ever"),
    ...relay,
    file: operand("FILE", "The file")
  },
  (given) =>
    Effect.flatMap(
      loaded(() => import("./Share.ts")),
      (module) => module.share(given)
    )
).pipe(Command.withDescription("Sign a file and send it to a node"))

const listOptions = {
  limit: limit("At most so many; else 50"),
  before: optionalText("before", "RUN", "Those that started before this one"),
  node: optionalText("node", "NODE", "Those for this node, by its id or host name"),
  actor: optionalText("actor", "NAME", "Those that this one asked for"),
  since: optionalText(
    "since",
    "WHEN",
    "Those that started then or later: a date, such as 2026-01-05 or 2026-01-05T09:00:00Z, or how long ago, such as 2h"
  ),
  state: Options.optional(
    Options.choice("state", ["running", "ended"] as const).pipe(
      Options.withDescription("Those that go on, or those that do not")
    )
  ),
  json,
  ...relay
}

const runsModule = loaded(() => import("./Runs.ts"))

const listRuns = Command.make("list", listOptions, (given) =>
  Effect.flatMap(runsModule, (module) => module.list(given))
).pipe(Command.withDescription("List recent runs, newest first"))

const showRun = Command.make("show", { json, ...relay, run: runId }, (given) =>
  Effect.flatMap(runsModule, (module) => module.show(given))
).pipe(Command.withDescription("Show a run and how each of its nodes ended"))

const outputOptions = {
  node: optionalText("node", "IDS", "Only these nodes of the run: a comma list of ids or host names"),
  stream: Options.optional(
    Options.choice("stream", ["stdout", "stderr"] as const).pipe(
      Options.withDescription("Only lines of this stream")
    )
  ),
  state: Options.optional(
    Options.choice("state", nodeChoices).pipe(
      Options.withDescription("Only nodes that ended so, each in one piece; or that wait or run now")
    )
  ),
  from: Options.optional(
    named(Options.integer("from"), "N", "Without the first N events, or lines of text and raw")
  ),
  format: Options.optional(
    Options.choice("format", ["text", "ndjson", "raw"] as const).pipe(
      Options.withDescription(
        "What is printed, as the relay has it: lines with their nodes (the default), events in JSON, or what agents printed on stdout and nothing else"
      )
    )
  ),
  ...RunCommand.shown
}

const outputOf = Command.make("output", { ...outputOptions, ...relay, run: runId }, (given) =>
  Effect.flatMap(
    loaded(() => import("./RunOutput.ts")),
    (module) => module.output(given)
  )
).pipe(Command.withDescription("Print the output of a run, and follow it until it ends"))

const retryRun = Command.make(
  "retry",
  {
    only: optionalText(
      "only",
      "REASONS",
      `Only nodes that are not ok for these reasons: a comma list of ${restReasons.join(", ")}`
    ),
    ...RunCommand.shown,
    ...RunCommand.control,
    ...RunCommand.leaving,
    ...relay,
    run: runId
  },
  (given) =>
    Effect.flatMap(
      loaded(() => import("./RetriedRun.ts")),
      (module) => module.retry(given)
    )
).pipe(Command.withDescription("Run those nodes of a run again that are not ok, and show it as run does"))

const cancelRun = Command.make("cancel", { ...relay, run: runId }, (given) =>
  Effect.flatMap(runsModule, (module) => module.cancel(given))
).pipe(Command.withDescription("Cancel a run"))

const runs = Command.make("runs", listOptions, (given) =>
  Effect.flatMap(runsModule, (module) => module.list(given))
).pipe(
  Command.withDescription("See, follow, repeat and cancel runs."),
  Command.withSubcommands([listRuns, showRun, outputOf, retryRun, cancelRun])
)

const status = Command.make("status", { json, ...relay }, (given) =>
  Effect.flatMap(
    loaded(() => import("./Status.ts")),
    (module) => module.status(given)
  )
).pipe(Command.withDescription("Show how the relay is: each of its parts, and what is wrong with it"))

const nodesModule = loaded(() => import("./Nodes.ts"))
const nodesOptions = {
  match: optionalText(
    "match",
    "GLOB",
    "Those whose id or host name is like this: * is any text, ? any character"
  ),
  limit: limit("At most so many; else all"),
  json,
  ...relay
}

const listNodes = Command.make("list", nodesOptions, (given) =>
  Effect.flatMap(nodesModule, (module) => module.list(given))
).pipe(Command.withDescription("List the nodes below the relay, by their ids"))

const showNode = Command.make(
  "show",
  { json, ...relay, node: operand("NODE", "Its id or host name") },
  (given) => Effect.flatMap(nodesModule, (module) => module.show(given))
).pipe(Command.withDescription("Show a node, and which relays are on the way to it"))

const nodes = Command.make("nodes", nodesOptions, (given) =>
  Effect.flatMap(nodesModule, (module) => module.list(given))
).pipe(
  Command.withDescription("See the nodes below the relay."),
  Command.withSubcommands([listNodes, showNode])
)

const filesModule = loaded(() => import("./Files.ts"))
const filesOptions = {
  target: optionalText("target", "ID", "Those for this node"),
  source: optionalText("source", "ID", "Those of this node"),
  limit: limit("At most so many; else all"),
  json,
  ...relay
}

const listFiles = Command.make("list", filesOptions, (given) =>
  Effect.flatMap(filesModule, (module) => module.list(given))
).pipe(Command.withDescription("List the shared files that the relay keeps for its nodes"))

const deleteFile = Command.make(
  "delete",
  { ...relay, file: operand("TARGET/SOURCE/FILE", "The file, as the list names it") },
  (given) => Effect.flatMap(filesModule, (module) => module.remove(given))
).pipe(Command.withDescription("Remove a file, and what is known of it"))

const files = Command.make("files", filesOptions, (given) =>
  Effect.flatMap(filesModule, (module) => module.list(given))
).pipe(
  Command.withDescription("See and remove the shared files that the relay keeps."),
  Command.withSubcommands([listFiles, deleteFile])
)

const outboxModule = loaded(() => import("./OutboxCommands.ts"))
const outboxOptions = { limit: limit("At most so many; else all"), json, ...relay }

const listOutbox = Command.make("list", outboxOptions, (given) =>
  Effect.flatMap(outboxModule, (module) => module.list(given))
).pipe(Command.withDescription("List them, newest first"))

const retryOutbox = Command.make("retry", relay, (given) =>
  Effect.flatMap(outboxModule, (module) => module.retry(given))
).pipe(Command.withDescription("Try all of them now"))

const deleteEntry = Command.make("delete", { ...relay, entry: operand("ENTRY", "The entry's id") }, (given) =>
  Effect.flatMap(outboxModule, (module) => module.remove(given))
).pipe(Command.withDescription("Give up one of them"))

const outbox = Command.make("outbox", outboxOptions, (given) =>
  Effect.flatMap(outboxModule, (module) => module.list(given))
).pipe(
  Command.withDescription("See files that wait for the policy server, or were refused by it."),
  Command.withSubcommands([listOutbox, retryOutbox, deleteEntry])
)

/** All of them, in the order in which the help lists them. */
export const commands = [share, runs, nodes, files, outbox, status] as const
