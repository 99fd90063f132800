/** The command `run`, as the command line knows it; what it does is loaded when it is called. */
import { Args, Command, Options } from "@effect/cli"
import { Effect } from "effect"
import * as ClientOptions from "./ClientOptions.ts"
import { loaded } from "./CommandModule.ts"

const text = (name: string, value: string, description: string) =>
  Options.text(name).pipe(
    Options.withDescription(description),
    Options.withPseudoName(value),
    Options.optional
  )

const amount = "N|N%"
const time = "TIME"

/** How a run is shown. */
export const shown = {
  view: Options.choice("view", ["live", "gather", "quiet", "ndjson"]).pipe(
    Options.withDescription(
      "live: lines as they come; gather: nodes with the same output in one block; quiet: what failed, and a summary; ndjson: the relay's events"
    ),
    Options.optional
  ),
  diff: Options.boolean("diff").pipe(
    Options.withDescription("Gather, and show how the others' output differs from that of the largest group")
  )
}

/** How a run goes on, and who asks for it. */
export const control = {
  batch: text("batch", amount, "So many nodes at a time"),
  batchWait: text("batch-wait", time, "Wait so long between two batches"),
  canary: text("canary", amount, "So many nodes first, and the rest only when these ended with code 0"),
  maxFailures: text("max-failures", amount, "Start no more nodes when more than so many failed"),
  splay: text("splay", time, "Put each start off by a random part of this"),
  actor: text("actor", "WHO", "Who asks, for the relay's log and history; else the user's name"),
  reason: text("reason", "WHY", "Why, likewise")
}

/** Whether one stays with it. */
export const leaving = {
  async: Options.boolean("async").pipe(Options.withDescription("Start the run, print its id and leave"))
}

const options = {
  targets: Args.text({ name: "TARGET" }).pipe(
    Args.withDescription(
      "A node id, a host name, a glob of either (web*), folded names (web[1-3]), @all, @relay:ID (the nodes behind that relay), @run:ID (a run's nodes), @run:ID:failed (those that failed), or - for what stdin names"
    ),
    Args.atLeast(1)
  ),
  exclude: Options.text("exclude").pipe(
    Options.withDescription("Leave these nodes out; said as a target is, and as often as needed"),
    Options.withPseudoName("TARGET"),
    Options.repeated
  ),
  classes: text("classes", "CLASS,…", "Classes that the agents are to define"),
  ...shown,
  ...control,
  preview: Options.boolean("preview").pipe(
    Options.withDescription("Run nothing: say which nodes would be run, and in which batch")
  ),
  output: Options.choice("output", ["keep", "discard"]).pipe(
    Options.withDescription("Whether what the agents print is shown, and kept by the relay"),
    Options.withDefault("keep" as const)
  ),
  ...leaving,
  json: Options.boolean("json").pipe(
    Options.withDescription("With --preview: print what the relay answers, as JSON, in place of a table")
  ),
  ...ClientOptions.options
}

/** The command `run`. */
export const run = Command.make("run", options, (given) =>
  Effect.flatMap(
    loaded(() => import("./Run.ts")),
    (module) => module.run(given)
  )
).pipe(Command.withDescription("Run the agents of nodes now, and show what they print"))
