/** The rest of a run: those of its nodes that are not ok, and why. */
import { Deferred, Duration, Effect, Either, Schema, Stream } from "effect"
import { NodeId } from "../NodeId.ts"
import type { StorageError } from "../RelayError.ts"
import { ClassName } from "./ClassName.ts"
import { type Decoded, invalid } from "./Parameter.ts"
import { RunGoesOn, type RunNotFound } from "./RemoteRunError.ts"
import { restReasons } from "./RestReason.ts"
import type { NodeOutcome, RunEvent, UnreadableEvent } from "./RunEvent.ts"
import type { RunId } from "./RunId.ts"
import type { OutputChoice, RunSummary } from "./RunRecord.ts"

/** One of `restReasons`. */
export const RestReason = Schema.Literal(...restReasons)
export type RestReason = typeof RestReason.Type

/** All of them. */
const everyReason: ReadonlySet<RestReason> = new Set(RestReason.literals)

/** What a retry of a run runs, and how. */
export interface RunRest {
  readonly run: RunId
  /** In the order of the run. */
  readonly nodes: ReadonlyArray<NodeId>
  readonly classes: ReadonlyArray<ClassName>
  readonly output: OutputChoice
}

const isReason = Schema.is(RestReason)

/** The reasons of the parameter `only`; all where it is not given. */
export const decodeOnly = (text: string | undefined): Decoded<ReadonlySet<RestReason>> => {
  if (text === undefined) return Either.right(everyReason)
  const names = text.split(",").map((name) => name.trim())
  const wrong = names.find((name) => !isReason(name))
  return wrong === undefined
    ? Either.right(new Set(names.filter(isReason)))
    : Either.left(
        invalid(
          "only",
          `expected some of ${RestReason.literals.join(", ")}, got ${JSON.stringify(wrong.slice(0, 100))}`
        )
      )
}

/** Why a node that has ended is not ok; undefined: it is. */
const reasonOf = (
  outcome: Pick<NodeOutcome, "code" | "cancelled" | "skipped" | "unreported" | "interrupted">
): RestReason | undefined => {
  if (outcome.code === 0) return undefined
  const flags = ["cancelled", "skipped", "unreported", "interrupted"] as const
  return flags.find((flag) => outcome[flag] === true) ?? "failed"
}

const isNodeId = Schema.is(NodeId)

/** Those nodes of a run that is over which are not ok for one of these reasons, in the order of the run. */
export const nodes = (
  events: Stream.Stream<RunEvent | UnreadableEvent, StorageError>,
  only: ReadonlySet<RestReason>
): Effect.Effect<ReadonlyArray<NodeId>, StorageError> =>
  Effect.gen(function* () {
    let all: ReadonlyArray<string> = []
    const reasons = new Map<string, RestReason | undefined>()
    yield* Stream.runForEach(events, (event) =>
      Effect.sync(() => {
        if (event.event === "run") all = event.nodes
        if (event.event === "end") reasons.set(event.node, reasonOf(event))
        // A node whose end can't be read has ended, and nobody can say well.
        if (event.event === "unreadable" && event.of === "end") reasons.set(event.node, "failed")
      })
    )
    const isWanted = (node: string): boolean => {
      // The record of a run that is over has an end of every node.
      const reason = reasons.has(node) ? reasons.get(node) : "interrupted"
      return reason !== undefined && only.has(reason)
    }
    return all.filter(isNodeId).filter(isWanted)
  })

/** Where runs are found. */
export interface RunRestParts {
  /** A run that goes on. */
  readonly goingOn: (
    id: RunId
  ) =>
    | { readonly isCancelled: boolean; readonly isDone: boolean; readonly over: Deferred.Deferred<void> }
    | undefined
  readonly find: (id: RunId) => Effect.Effect<
    {
      readonly summary: Effect.Effect<RunSummary, StorageError>
      readonly events: Stream.Stream<RunEvent | UnreadableEvent, StorageError>
    },
    RunNotFound | StorageError
  >
}

const isClassName = Schema.is(ClassName)

/** So long it is waited for the end of a run that was cancelled: agents have their time to end. */
const cancelPatience = Duration.seconds(30)

/** The rest of a run, once that is over; the end of one that was cancelled, or is done, is waited for. */
export const of = Effect.fn("RemoteRun.rest")(function* (
  { goingOn, find }: RunRestParts,
  id: RunId,
  only: ReadonlySet<RestReason>
) {
  yield* Effect.annotateCurrentSpan("run", id)
  const run = goingOn(id)
  // Of one whose callers know that it is done, there is only the keeping of it left.
  const isEnding = run !== undefined && (run.isCancelled || run.isDone)
  if (isEnding) yield* Effect.timeoutOption(Deferred.await(run.over), cancelPatience)
  if (goingOn(id) !== undefined)
    return yield* new RunGoesOn({ message: `run ${id} goes on; retry it when it is over`, run: id })
  const found = yield* find(id)
  const { classes, output } = yield* found.summary
  const rest: RunRest = {
    run: id,
    nodes: yield* nodes(found.events, only),
    classes: classes.filter(isClassName),
    output
  }
  return rest
})
