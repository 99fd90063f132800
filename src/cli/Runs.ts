/** `rudder-relay runs`: what was run and what goes on. */
import { Clock, Duration, Effect, Option } from "effect"
import { RelayClient } from "../client/RelayClient.ts"
import * as Durations from "../config/Durations.ts"
import * as RunListQuery from "../remote-run/RunListQuery.ts"
import type { NodeState, RunDetail, RunSummary } from "../remote-run/RunRecord.ts"
import * as Amount from "./Amount.ts"
import { asking } from "./Asking.ts"
import type { ClientOptions } from "./ClientOptions.ts"
import * as Listing from "./Listing.ts"
import * as NodeNames from "./NodeNames.ts"
import * as Refused from "./Refused.ts"
import * as RunName from "./RunName.ts"
import * as RunText from "./RunText.ts"
import * as Screen from "./Screen.ts"
import type { Column } from "./Table.ts"

/** What `runs list` is told. */
export interface ListOptions extends ClientOptions {
  readonly limit: Option.Option<number>
  readonly before: Option.Option<string>
  readonly node: Option.Option<string>
  readonly actor: Option.Option<string>
  readonly since: Option.Option<string>
  readonly state: Option.Option<"running" | "ended">
  readonly json: boolean
}

/** How many runs are listed where nobody says. */
const usualLimit = 50

/** A date as the relay takes it; one that was said as a time before now, too. */
const sinceOf = (text: string): Effect.Effect<string> =>
  Option.match(Durations.parse(text), {
    onNone: () => Effect.succeed(text),
    onSome: (ago) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const date = new Date(Math.max(0, now - Duration.toMillis(ago)))
        return date.toISOString()
      })
  })

const columns: ReadonlyArray<Column<RunSummary>> = [
  { title: "ID", cell: ({ id }) => id },
  { title: "STARTED", cell: ({ started }) => Amount.date(started), least: 20 },
  { title: "NODES", cell: ({ nodes }) => String(nodes), isNumber: true, least: 5 },
  { title: "RESULT", cell: RunText.result, least: 8 },
  { title: "BY", cell: RunText.by, least: 6 },
  { title: "CLASSES", cell: ({ classes }) => classes.join(","), least: 7 },
  { title: "REASON", cell: ({ by }) => by?.reason ?? "", least: 8 }
]

/** When the runs are to have started; refused, as the actor is, where the relay would. */
const checkedSince = (given: ListOptions) =>
  Effect.gen(function* () {
    const since = yield* Effect.transposeMapOption(given.since, sinceOf)
    const said = [
      ...Option.toArray(Option.map(since, (text) => ["since", text] as const)),
      ...Option.toArray(Option.map(given.actor, (text) => ["actor", text] as const))
    ]
    yield* Effect.mapError(RunListQuery.decode(said), Refused.option)
    return since
  })

/** Lists runs. */
export const list = (given: ListOptions) =>
  Effect.flatMap(checkedSince(given), (since) => listSince(given, since))

const listSince = (given: ListOptions, since: Option.Option<string>) =>
  asking(
    given,
    Effect.gen(function* () {
      const { routes } = yield* RelayClient
      const node = yield* Effect.transposeMapOption(given.node, NodeNames.idOf)
      const before = yield* Effect.transposeMapOption(given.before, RunName.find)
      const filters = {
        node: Option.getOrUndefined(node),
        since: Option.getOrUndefined(since),
        actor: Option.getOrUndefined(given.actor),
        state: Option.getOrUndefined(given.state)
      }
      yield* Listing.list(given, {
        columns,
        nothing: "There are no such runs.",
        usualLimit,
        ask: (most, place) =>
          Effect.map(
            routes.remoteRun.runs({
              urlParams: { ...filters, limit: String(most), before: place ?? Option.getOrUndefined(before) }
            }),
            ({ next, runs }) => ({ items: runs, next })
          ),
        document: ({ items, next }) => ({ runs: items, next })
      })
    })
  )

/** What is told of one run. */
export interface RunOptions extends ClientOptions {
  readonly run: string
}

const facts = (run: RunDetail): ReadonlyArray<readonly [string, string]> => [
  ["run", run.id],
  ["started", Amount.date(run.started)],
  ["nodes", `${run.nodes}: ${RunText.counts(run)}`],
  ["classes", run.classes.join(",")],
  ["output", run.output === "keep" ? "kept" : "discarded"],
  ["by", [run.by?.actor, run.by?.address, run.by?.key].filter((one) => one !== undefined).join(", ")],
  ["reason", run.by?.reason ?? ""],
  ["retry of", run.parent ?? ""]
]

const stateColumns: ReadonlyArray<Column<NodeState>> = [
  { title: "NODE", cell: ({ node }) => node },
  { title: "RESULT", cell: RunText.state, least: 11 },
  {
    title: "TIME",
    cell: ({ duration }) => (duration === undefined ? "" : Amount.seconds(duration)),
    isNumber: true,
    least: 7
  },
  { title: "MESSAGE", cell: (node) => (node.state === "ended" ? RunText.reason(node) : ""), least: 8 }
]

/** Shows one run; its nodes that are not ok come last. */
export const show = (given: RunOptions & { readonly json: boolean }) =>
  asking(
    given,
    Effect.gen(function* () {
      const { routes } = yield* RelayClient
      const run = yield* routes.remoteRun.run({ path: { id: yield* RunName.find(given.run) } })
      if (given.json) return yield* Listing.printJson(run)
      yield* Listing.printFacts(facts(run))
      const isOk = ({ code, state }: NodeState) => state === "ended" && code === 0
      const states = [...run.states.filter(isOk), ...run.states.filter((node) => !isOk(node))]
      yield* Screen.write("\n")
      yield* Listing.printTable(stateColumns, states, "It is for no node.")
    })
  )

/** Cancels a run; one that is over stays as it is. */
export const cancel = (given: RunOptions) =>
  asking(
    given,
    Effect.gen(function* () {
      const { routes } = yield* RelayClient
      const id = yield* RunName.find(given.run)
      const [, { status }] = yield* routes.remoteRun.cancelRun({ path: { id }, withResponse: true })
      yield* Listing.printLines([
        status === 202 ? `run ${id} is being cancelled` : `run ${id} was over already`
      ])
    })
  )
