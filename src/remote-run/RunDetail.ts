/** One run with every node's state, as JSON, written while the journal is read: it is as long as the run is large. */
import { Chunk, Effect, Iterable, Option, Stream } from "effect"
import type { StorageError } from "../RelayError.ts"
import type { Run } from "./RemoteRun.ts"
import type { RunEvent, UnreadableEvent } from "./RunEvent.ts"
import type { NodeState } from "./RunRecord.ts"

/** A node whose end is in the history, but can't be read there, has ended all the same. */
const unreadable = {
  code: null,
  error: { _tag: "StorageError", message: "the record of this node's end can't be read" }
}

/** The nodes that have no `end` yet, to be listed last. Held as ids, not as events. */
class Unfinished {
  private nodes: ReadonlyArray<string> = []
  private readonly running = new Set<string>()
  private readonly ended = new Set<string>()

  /** The state of a node that this event ends. */
  meet(event: RunEvent | UnreadableEvent): NodeState | undefined {
    if (event.event === "unreadable") return this.meetUnreadable(event)
    if (event.event === "run") this.nodes = event.nodes
    if (event.event === "start") this.running.add(event.node)
    if (event.event !== "end") return undefined
    const { event: _, node, ...outcome } = event
    this.ended.add(node)
    return { node, state: "ended", ...outcome }
  }

  private meetUnreadable({ of, node }: UnreadableEvent): NodeState | undefined {
    if (of === "start") this.running.add(node)
    if (of !== "end") return undefined
    this.ended.add(node)
    return { node, state: "ended", ...unreadable }
  }

  *states(): Iterable<NodeState> {
    for (const node of this.nodes) {
      if (!this.ended.has(node)) yield { node, state: this.running.has(node) ? "running" : "waiting" }
    }
  }
}

/** The nodes of a run that wait, or run, now. */
export const nodesIn = (
  run: Pick<Run, "events">,
  state: Exclude<NodeState["state"], "ended">
): Effect.Effect<ReadonlySet<string>, StorageError> =>
  Effect.suspend(() => {
    const unfinished = new Unfinished()
    return Effect.map(
      Stream.runForEach(run.events, (event) => Effect.sync(() => unfinished.meet(event))),
      () =>
        new Set(
          Iterable.filterMap(unfinished.states(), (one) =>
            one.state === state ? Option.some(one.node) : Option.none()
          )
        )
    )
  })

/** `RunDetail` as JSON: the summary's fields, and `states`, those that ended first. */
export const json = (run: Run): Effect.Effect<Stream.Stream<Uint8Array, StorageError>, StorageError> =>
  Effect.map(run.summary, (summary) => {
    const unfinished = new Unfinished()
    let first = true
    const item = (state: NodeState) => {
      const text = `${first ? "" : ","}${JSON.stringify(state)}`
      first = false
      return text
    }
    const ended = run.events.pipe(
      Stream.map((event) => unfinished.meet(event)),
      Stream.filter((state) => state !== undefined),
      Stream.map(item)
    )
    const rest = Stream.suspend(() => Stream.fromIterable(unfinished.states())).pipe(Stream.map(item))
    return Stream.succeed(`${JSON.stringify(summary).slice(0, -1)},"states":[`).pipe(
      Stream.concat(ended),
      Stream.concat(rest),
      Stream.concat(Stream.succeed("]}\n")),
      Stream.rechunk(100),
      Stream.mapChunks((texts) => Chunk.of(Buffer.from(Chunk.join(texts, ""))))
    )
  })
