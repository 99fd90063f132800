/** What `rudder-relay run` does: finds the nodes, starts the run, and shows it to its end. */
import { randomUUID } from "node:crypto"
import { type Chunk, Clock, Effect, Either, Option, Queue, type Scope, Stream } from "effect"
import { RelayClient, type RelayClientService } from "../client/RelayClient.ts"
import * as RunRequest from "../client/RunRequest.ts"
import type { EventOnLine, StreamFailure } from "../client/RunStream.ts"
import * as EventLoop from "../EventLoop.ts"
import * as Printable from "../Printable.ts"
import * as AskedRelay from "./AskedRelay.ts"
import type { ClientOptions } from "./ClientOptions.ts"
import { endOnHangup } from "./FirstMoment.ts"
import * as Interrupts from "./Interrupts.ts"
import * as RelayProblem from "./RelayProblem.ts"
import * as Attended from "./run/Attended.ts"
import * as LiveLines from "./run/LiveLines.ts"
import * as LiveScreen from "./run/LiveScreen.ts"
import { NodeGroups } from "./run/NodeGroups.ts"
import { NodeLabels } from "./run/NodeLabels.ts"
import * as PreviewTable from "./run/PreviewTable.ts"
import * as ProgressLine from "./run/ProgressLine.ts"
import * as Report from "./run/Report.ts"
import * as RunOrder from "./run/RunOrder.ts"
import { RunTally } from "./run/RunTally.ts"
import * as StandardInput from "./run/StandardInput.ts"
import * as Target from "./run/Target.ts"
import * as TargetNodes from "./run/TargetNodes.ts"
import * as Screen from "./Screen.ts"
import { exitCode, StartError, wrongCall } from "./StartError.ts"

/** How a run is shown. */
export type View = "live" | "gather" | "quiet" | "ndjson"

/** What the command line says. */
export interface RunOptions extends ClientOptions, RunOrder.OrderOptions {
  readonly targets: ReadonlyArray<string>
  readonly exclude: ReadonlyArray<string>
  readonly view: Option.Option<View>
  readonly diff: boolean
  readonly preview: boolean
  readonly async: boolean
  readonly json: boolean
}

type Failure = StartError | RelayProblem.RelayFailure

/** `--diff` is a way to gather. */
export const viewOf = ({
  view,
  diff
}: Pick<RunOptions, "diff" | "view">): Effect.Effect<View, StartError> => {
  const chosen = Option.getOrElse(view, (): View => (diff ? "gather" : "live"))
  return diff && chosen !== "gather"
    ? Effect.fail(wrongCall(`--diff: expected with --view gather, got --view ${chosen}`))
    : Effect.succeed(chosen)
}

/** A run that is left at once shows no events: its id is all that is printed. */
export const leavable = ({
  async,
  view
}: Pick<RunOptions, "async" | "view">): Effect.Effect<void, StartError> =>
  async && Option.contains(view, "ndjson")
    ? Effect.fail(
        wrongCall(
          "--async prints the run's id and leaves, and shows no events; rudder-relay runs output ID --format ndjson does"
        )
      )
    : Effect.void

/** `--json` is for what is a table otherwise. */
const printable = ({ async, json, preview }: RunOptions): Effect.Effect<void, StartError> => {
  if (json && async)
    return Effect.fail(wrongCall("--json is for --preview; --async prints the run's id alone"))
  return json && !preview
    ? Effect.fail(wrongCall("--json is for --preview; --view ndjson prints a run's events in JSON"))
    : Effect.void
}

const parsed = (texts: ReadonlyArray<string>): Effect.Effect<ReadonlyArray<Target.Target>, StartError> =>
  Effect.forEach(texts, (text) => Either.mapLeft(Target.parse(text), wrongCall))

/** The targets; those of stdin in the place of `-`. */
const targetsOf = ({ targets, exclude }: RunOptions) =>
  Effect.gen(function* () {
    const input = [...targets, ...exclude].includes("-") ? Target.words(yield* StandardInput.text) : []
    const withInput = (texts: ReadonlyArray<string>) =>
      texts.flatMap((text) => (text === "-" ? input : [text]))
    const [chosen, excluded] = [withInput(targets), withInput(exclude)]
    if (chosen.length === 0) return yield* wrongCall("no target: stdin has none")
    return { chosen: yield* parsed(chosen), excluded: yield* parsed(excluded) }
  })

/** Bytes: what a relay takes of a form. */
const maxForm = 1024 * 1024

const fitting = (request: RunRequest.RunRequest) => {
  const size = new URLSearchParams(RunRequest.formOf(request)).toString().length
  return size <= maxForm
    ? Effect.succeed(request)
    : Effect.fail(
        wrongCall(
          `the ids of the nodes take ${size} bytes, and a relay takes ${maxForm}: name fewer at a time, or run @all without --exclude`
        )
      )
}

/** A run's events, as they come. */
type Lines = Stream.Stream<EventOnLine, StreamFailure>

/** What is shown, and what of it is known so far. */
interface Showing {
  readonly client: RelayClientService
  readonly diff: boolean
  readonly view: View
  readonly live: LiveScreen.LiveScreen
  readonly labels: NodeLabels
  readonly tally: RunTally
  readonly groups: NodeGroups
}

const newline = Buffer.from("\n")

/** The lines as they came; on a terminal, with what would write on it escaped. */
const ndjsonOf = (told: Chunk.Chunk<EventOnLine>, screen: Screen.Screen): Uint8Array | string =>
  screen.isTerminal
    ? Array.from(told, ({ line }) => `${Screen.jsonLine(Buffer.from(line).toString("utf8"), screen)}\n`).join(
        ""
      )
    : Buffer.concat(Array.from(told).flatMap(({ line }) => [line, newline]))

const inWords = (id: string, { nodes }: RunTally) => `run ${id}: ${nodes} node${nodes === 1 ? "" : "s"}\n`

/** What has no answer in the events of nodes: ids that are no node's any more. */
const unknownNodes = ({ tally: { started } }: Showing): string =>
  started === undefined || started.unknown.length === 0
    ? ""
    : `rudder-relay: the relay knows no ${Printable.line(started.unknown.join(", "))}\n`

/** Shows what has just come. */
const meet = (showing: Showing, told: Chunk.Chunk<EventOnLine>): Effect.Effect<void, StartError> =>
  Effect.suspend(() => {
    const { groups, labels, live, tally, view } = showing
    const events = Array.from(told).flatMap(({ event }) => (event === undefined ? [] : [event]))
    let first = ""
    for (const event of events) {
      tally.meet(event)
      groups.meet(event)
      if (event.event === "start") labels.learn(event.node, event.hostname)
      if (event.event === "run") first = inWords(event.id, tally)
    }
    const unknown = first === "" ? "" : unknownNodes(showing)
    if (view === "ndjson") return live.print(ndjsonOf(told, live.screen), unknown)
    const { stdout, stderr } =
      view === "live" ? LiveLines.of(events, labels, live.screen) : { stdout: "", stderr: "" }
    return first === "" && stdout === "" && stderr === ""
      ? Effect.void
      : live.print(first + stdout, unknown + stderr)
  })

/** Events as they come, over a line of progress. */
const watched = (showing: Showing, lines: Lines): Effect.Effect<void, Failure, Scope.Scope> =>
  Effect.gen(function* () {
    const { live, tally, view } = showing
    const since = yield* Clock.currentTimeMillis
    const clock = yield* Effect.clock
    let heard = { at: since, events: 0 }
    const progress = (width: number) => {
      const now = clock.unsafeCurrentTimeMillis()
      if (tally.events !== heard.events) heard = { at: now, events: tally.events }
      if (tally.started === undefined) return "the run is being started".slice(0, Math.max(0, width))
      const { waiting, running, ok, failed } = tally
      const [elapsed, silent] = [now - since, now - heard.at]
      return ProgressLine.render({ waiting, running, ok, failed, elapsed, silent }, width)
    }
    if (view !== "ndjson") yield* live.progress(progress)
    yield* Stream.runForEachChunk(lines, (told) => meet(showing, told))
  })

/** What the run came to, in one line. */
const summary = ({ tally }: Showing): string => {
  const { done, started, ok, nodes } = tally
  if (done === undefined || started === undefined) return ""
  const { failed, skipped = 0 } = done
  const unreported = nodes - ok - failed - skipped
  const parts = [
    `${ok} ok`,
    `${failed} failed`,
    ...(skipped === 0 ? [] : [`${skipped} not started`]),
    ...(unreported <= 0 ? [] : [`${unreported} not reported`]),
    ...(done.interrupted === undefined ? [] : ["cut off by a crash of the relay"])
  ]
  return `run ${started.id}: ${parts.join(", ")}, ${ProgressLine.clock(done.duration * 1000)}\n`
}

/** The groups of nodes that the view has, and then the summary. */
const report = (showing: Showing): Effect.Effect<void, Failure> =>
  Effect.gen(function* () {
    const { client, diff, groups, labels, live, tally, view } = showing
    if (view === "ndjson") return
    const all = groups.all()
    const parts: Report.Parts = {
      client,
      run: tally.started?.id ?? "",
      labels,
      screen: live.screen,
      print: (lines) => live.print(lines)
    }
    if (view === "gather") yield* diff ? Report.differences(parts, all) : Report.outputs(parts, all)
    else
      yield* Report.groups(
        parts,
        all.filter(({ verdict }) => verdict !== undefined && verdict !== "ok")
      )
    yield* live.print(summary(showing))
  })

const shown = (showing: Showing, lines: Lines): Effect.Effect<void, Failure> =>
  Effect.gen(function* () {
    yield* Effect.scoped(watched(showing, lines))
    yield* report(showing)
    if (!showing.tally.isAllWell) return yield* new StartError({ code: exitCode.notAllWell, message: "" })
  })

const previewed = (client: RelayClientService, options: RunOptions, request: RunRequest.RunRequest) =>
  Effect.gen(function* () {
    const preview = yield* client.preview(request)
    const { isTerminal, width } = Screen.stdout
    const lines = options.json
      ? [Printable.json(JSON.stringify(preview))]
      : PreviewTable.lines(preview, isTerminal ? width() : undefined)
    yield* Screen.write(lines.map((line) => `${line}\n`).join(""))
  })

/** Its id alone: what another command takes. */
const begun = (client: RelayClientService, request: RunRequest.RunRequest) =>
  Effect.flatMap(client.start(request), ({ id }) => Screen.write(`${id}\n`))

const ordered = (options: RunOptions, view: View): Effect.Effect<void, Failure, RelayClient | Scope.Scope> =>
  Effect.gen(function* () {
    const client = yield* RelayClient
    const order = yield* RunOrder.make(options)
    const { chosen, excluded } = yield* targetsOf(options)
    // By then the program's own answer to signals is in place, and can be replaced.
    yield* EventLoop.turn
    const interrupts = yield* Interrupts.taken
    const orLeft = (message: string) =>
      Effect.raceFirst(
        Effect.flatMap(
          Queue.take(interrupts),
          () => new StartError({ code: exitCode.interrupted, message: `rudder-relay: ${message}` })
        )
      )
    const { nodes, hostnames } = yield* orLeft("nothing was started")(
      TargetNodes.resolve(client, chosen, excluded)
    )
    // A start that may have been heard or not is asked for again, and starts no second run.
    const request = yield* fitting({ ...order, nodes, idempotencyKey: randomUUID() })
    if (options.preview) return yield* orLeft("nothing was run")(previewed(client, options, request))
    if (options.async)
      return yield* orLeft(
        `whether the run was started is not known: rudder-relay runs list${AskedRelay.wordsOf(options)}`
      )(begun(client, request))
    yield* attended(client, { ...options, view }, client.runLines(request), { hostnames, interrupts })
  })

/** What a run that is shown is told of how. */
export interface ShownOptions extends ClientOptions {
  readonly view: View
  readonly diff: boolean
}

/** Shows a run, started or followed by these events, to its end, to somebody who may leave it or cancel it by Ctrl-C. */
export const attended = (
  client: RelayClientService,
  options: ShownOptions,
  lines: Lines,
  known: {
    readonly hostnames: ReadonlyMap<string, string>
    readonly interrupts: Queue.Dequeue<Interrupts.Interrupt>
  }
): Effect.Effect<void, Failure> =>
  Effect.suspend(() => {
    const { diff, view } = options
    const live = LiveScreen.make()
    const tally = new RunTally()
    const groups = new NodeGroups({ byOutput: view === "gather" })
    const labels = new NodeLabels(known.hostnames)
    return Attended.make(shown({ client, diff, view, live, labels, tally, groups }, lines), {
      interrupts: known.interrupts,
      run: () => tally.started?.id,
      isOver: () => tally.done !== undefined,
      cancel: client.cancel,
      say: (text) => live.print("", text),
      options: AskedRelay.wordsOf(options)
    })
  })

/** Runs, and fails with the code that the command ends with where that is not 0. */
export const run = (options: RunOptions): Effect.Effect<void, StartError> =>
  Effect.gen(function* () {
    yield* Effect.sync(endOnHangup)
    const url = yield* AskedRelay.urlOf(options)
    const view = yield* viewOf(options)
    yield* leavable(options)
    yield* printable(options)
    yield* Effect.scoped(ordered(options, view)).pipe(
      Effect.provide(AskedRelay.layer(options)),
      Effect.mapError((error) =>
        error instanceof StartError ? error : RelayProblem.of(url, AskedRelay.wordsOf(options))(error)
      )
    )
  })
