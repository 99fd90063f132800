/** `rudder-relay runs output`: what a run printed, and prints. */
import { Effect, Option, Stream } from "effect"
import type { OutputSelection } from "../client/OutputRequest.ts"
import { RelayClient } from "../client/RelayClient.ts"
import { asking } from "./Asking.ts"
import type { ClientOptions } from "./ClientOptions.ts"
import * as Interrupts from "./Interrupts.ts"
import * as NodesOfRun from "./NodesOfRun.ts"
import * as Run from "./Run.ts"
import * as RunName from "./RunName.ts"
import * as Screen from "./Screen.ts"
import { type StartError, wrongCall } from "./StartError.ts"

/** What `runs output` is told. */
export interface OutputOptions extends ClientOptions {
  readonly run: string
  readonly node: Option.Option<string>
  readonly stream: Option.Option<"stdout" | "stderr">
  readonly state: Option.Option<NonNullable<OutputSelection["state"]>>
  readonly from: Option.Option<number>
  readonly format: Option.Option<NonNullable<OutputSelection["format"]>>
  readonly view: Option.Option<Run.View>
  readonly diff: boolean
}

const choiceOf = ({ format, from, state, stream }: OutputOptions): OutputSelection => ({
  ...Option.match(format, { onNone: () => ({}), onSome: (format) => ({ format }) }),
  ...Option.match(stream, { onNone: () => ({}), onSome: (stream) => ({ stream }) }),
  ...Option.match(state, { onNone: () => ({}), onSome: (state) => ({ state }) }),
  ...Option.match(from, { onNone: () => ({}), onSome: (from) => ({ from }) })
})

const ping = Buffer.from('{"event":"ping"}\n')

/** A silence of the relay's is for proxies alone: it stands by itself, since nothing else came for a while. */
const isPing = (bytes: Uint8Array): boolean => ping.equals(bytes)

/** Nobody has had less than no events. */
const checked = ({ from }: OutputOptions): Effect.Effect<void, StartError> =>
  Option.exists(from, (count) => count < 0)
    ? Effect.fail(wrongCall("--from: expected a whole number of events, 0 or more"))
    : Effect.void

/** What the relay prints of a run, in a format of its own. */
const printed = (given: OutputOptions, run: string) =>
  Effect.gen(function* () {
    const client = yield* RelayClient
    const nodes = Option.isSome(given.node) ? { nodes: yield* NodesOfRun.named(run, given.node.value) } : {}
    const bytes = client
      .output(run, { ...choiceOf(given), ...nodes })
      .pipe(Stream.filter((piece) => !isPing(piece)))
    // A terminal is not for others to write on; what goes to a program goes as it is.
    if (Option.contains(given.format, "raw") || !Screen.stdout.isTerminal)
      return yield* Stream.runForEach(bytes, (piece) => Screen.write(piece))
    const shown = Option.contains(given.format, "ndjson") ? Screen.jsonLine : Screen.foreignLine
    const lines = bytes.pipe(Stream.decodeText(), Stream.splitLines)
    yield* Stream.runForEachChunk(lines, (some) => {
      const text = Array.from(some, (line) => `${shown(line, Screen.stdout)}\n`)
      return Screen.write(text.join(""))
    })
  })

/** A run as `run` shows it. */
const viewed = (given: OutputOptions, run: string) =>
  Effect.gen(function* () {
    const view = yield* Run.viewOf(given)
    const parts = [...(Option.isSome(given.node) ? ["node"] : []), ...Object.keys(choiceOf(given))]
    if (parts.length > 0)
      return yield* wrongCall(`--view shows the whole run, and goes without --${parts.join(", --")}`)
    const client = yield* RelayClient
    const interrupts = yield* Interrupts.taken
    yield* Run.attended(client, { ...given, view }, client.followLines(run), {
      hostnames: new Map(),
      interrupts
    })
  }).pipe(Effect.scoped)

/** Prints what a run printed, and follows it to its end. */
export const output = (given: OutputOptions) =>
  Effect.zipRight(
    checked(given),
    asking(
      given,
      Effect.flatMap(RunName.find(given.run), (run) =>
        Option.isSome(given.view) || given.diff ? viewed(given, run) : printed(given, run)
      )
    )
  )
