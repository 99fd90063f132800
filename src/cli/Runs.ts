/** `rudder-relay runs`: what was run and what goes on. */
import { Clock, Duration, Effect, Option, Stream } from "effect"
import { type OutputChoice, RelayClient } from "../client/RelayClient.ts"
import * as Durations from "../config/Durations.ts"
import * as RunId from "../remote-run/RunId.ts"
import type { NodeState, RunDetail, RunSummary } from "../remote-run/RunRecord.ts"
import * as Amount from "./Amount.ts"
import { asking } from "./Asking.ts"
import type { ClientOptions } from "./ClientOptions.ts"
import * as Listing from "./Listing.ts"
import * as NodeNames from "./NodeNames.ts"
import * as RunText from "./RunText.ts"
import * as Screen from "./Screen.ts"
import { exitCode, StartError } from "./StartError.ts"
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

const wrong = (message: string) =>
  new StartError({ code: exitCode.configuration, message: `rudder-relay: ${message}` })

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

/** Lists runs. */
export const list = (given: ListOptions) =>
  asking(
    given,
    Effect.gen(function* () {
      const { routes } = yield* RelayClient
      const limit = (yield* Listing.limitOf(given.limit)) ?? usualLimit
      const node = yield* Effect.transposeMapOption(given.node, NodeNames.idOf)
      const since = yield* Effect.transposeMapOption(given.since, sinceOf)
      const before = yield* Effect.transposeMapOption(given.before, find)
      const filters = {
        node: Option.getOrUndefined(node),
        since: Option.getOrUndefined(since),
        actor: Option.getOrUndefined(given.actor),
        state: Option.getOrUndefined(given.state)
      }
      const page = yield* Listing.pages(
        (most, place) =>
          Effect.map(
            routes.remoteRun.runs({
              urlParams: { ...filters, limit: String(most), before: place ?? Option.getOrUndefined(before) }
            }),
            ({ next, runs }) => ({ items: runs, next })
          ),
        limit
      )
      if (given.json) return yield* Listing.printJson({ runs: page.items, next: page.next })
      yield* Listing.printTable(columns, page.items, "There are no such runs.")
      yield* Listing.printMore(page)
    })
  )

/** The largest id: what is left of it behind a beginning makes an id that comes behind all with this beginning. */
const largest = "ffffffff-ffff-7fff-bfff-ffffffffffff"

/** Shorter beginnings are nobody's run in particular. */
const shortest = 4

/** The id of a run that is said by its beginning. */
const find = (given: string) =>
  Effect.gen(function* () {
    const beginning = given.toLowerCase()
    if (RunId.isRunId(beginning)) return beginning
    const before = beginning + largest.slice(beginning.length)
    if (beginning.length < shortest || !RunId.isRunId(before))
      return yield* wrong(
        `RUN is a run's id, or at least ${shortest} characters of its beginning, not ${JSON.stringify(given.slice(0, 100))}`
      )
    const { routes } = yield* RelayClient
    const page = yield* routes.remoteRun.runs({ urlParams: { limit: "3", before } })
    const found = page.runs.map(({ id }) => id).filter((id) => id.startsWith(beginning))
    const [only, ...others] = found
    if (only === undefined)
      return yield* new StartError({
        code: exitCode.relay,
        message: `rudder-relay: no run's id begins with ${given}; rudder-relay runs list shows them`
      })
    if (others.length > 0)
      return yield* wrong(
        `the ids of several runs begin with ${given}: ${found.join(", ")}${found.length === 3 ? ", …" : ""}`
      )
    return only
  })

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
      const run = yield* routes.remoteRun.run({ path: { id: yield* find(given.run) } })
      if (given.json) return yield* Listing.printJson(run)
      yield* Listing.printFacts(facts(run))
      const isOk = ({ code, state }: NodeState) => state === "ended" && code === 0
      const states = [...run.states.filter(isOk), ...run.states.filter((node) => !isOk(node))]
      yield* Screen.write("\n")
      yield* Listing.printTable(stateColumns, states, "It is for no node.")
    })
  )

/** What `runs output` is told. */
export interface OutputOptions extends RunOptions {
  readonly node: Option.Option<string>
  readonly stream: Option.Option<"stdout" | "stderr">
  readonly state: Option.Option<NonNullable<OutputChoice["state"]>>
  readonly from: Option.Option<number>
  readonly format: NonNullable<OutputChoice["format"]>
}

const choiceOf = (given: OutputOptions): OutputChoice => ({
  format: given.format,
  ...Option.match(given.node, {
    onNone: () => ({}),
    onSome: (nodes) => ({ nodes: nodes.split(",").map((node) => node.trim()) })
  }),
  ...Option.match(given.stream, { onNone: () => ({}), onSome: (stream) => ({ stream }) }),
  ...Option.match(given.state, { onNone: () => ({}), onSome: (state) => ({ state }) }),
  ...Option.match(given.from, { onNone: () => ({}), onSome: (from) => ({ from }) })
})

const ping = Buffer.from('{"event":"ping"}\n')

/** A silence of the relay's is for proxies alone: it stands by itself, since nothing else came for a while. */
const isPing = (bytes: Uint8Array): boolean => ping.equals(bytes)

/** Prints what a run printed, and follows it to its end. */
export const output = (given: OutputOptions) =>
  asking(
    given,
    Effect.gen(function* () {
      const client = yield* RelayClient
      const run = yield* find(given.run)
      const bytes = client.output(run, choiceOf(given)).pipe(Stream.filter((piece) => !isPing(piece)))
      // A terminal is not for others to write on; what goes to a program goes as it is.
      if (given.format === "raw" || !Screen.stdout.isTerminal)
        return yield* Stream.runForEach(bytes, (piece) => Screen.write(piece))
      const lines = bytes.pipe(Stream.decodeText(), Stream.splitLines)
      yield* Stream.runForEachChunk(lines, (some) => {
        const text = Array.from(some, (line) => `${Screen.foreignLine(line, Screen.stdout)}\n`)
        return Screen.write(text.join(""))
      })
    })
  )

/** Cancels a run; one that is over stays as it is. */
export const cancel = (given: RunOptions) =>
  asking(
    given,
    Effect.gen(function* () {
      const { routes } = yield* RelayClient
      const id = yield* find(given.run)
      const [, { status }] = yield* routes.remoteRun.cancelRun({ path: { id }, withResponse: true })
      yield* Listing.printLines([
        status === 202 ? `run ${id} is being cancelled` : `run ${id} was over already`
      ])
    })
  )
