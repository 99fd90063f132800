/** One run with every node's state, as JSON, written while the journal is read: it is as long as the run is large. */
import { Chunk, Effect, Either, Schema, Stream } from "effect"
import type { StorageError } from "../RelayError.ts"
import { Kind } from "./journal/JournalRecord.ts"
import type { StoredEvent } from "./journal/RunReader.ts"
import type { Run } from "./RemoteRun.ts"
import { NodeEnded, RunStarted } from "./RunEvent.ts"
import type { NodeState } from "./RunRecord.ts"

const decodeStarted = Schema.decodeEither(Schema.parseJson(RunStarted))
const decodeEnded = Schema.decodeEither(Schema.parseJson(NodeEnded))

/** A node whose end is in the journal, in words that nobody understands, has ended all the same. */
const unreadable = {
  code: null,
  error: { _tag: "StorageError", message: "the record of this node's end can't be read" }
}

/** What is to be said in the end of nodes that have no `end` yet. Ids, not events. */
class Unfinished {
  private nodes: ReadonlyArray<string> = []
  private readonly running = new Set<string>()
  private readonly ended = new Set<string>()

  meet(event: StoredEvent): NodeState | undefined {
    if (event.kind === Kind.run) {
      this.nodes = Either.match(decodeStarted(event.json), {
        onLeft: () => [],
        onRight: ({ nodes }) => nodes
      })
    }
    if (event.kind === Kind.start) this.running.add(event.node)
    if (event.kind !== Kind.end) return undefined
    this.ended.add(event.node)
    return Either.match(decodeEnded(event.json), {
      onLeft: () => ({ node: event.node, state: "ended" as const, ...unreadable }),
      onRight: ({ event: _, node, ...outcome }) => ({ node, state: "ended" as const, ...outcome })
    })
  }

  *states(): Iterable<NodeState> {
    for (const node of this.nodes) {
      if (!this.ended.has(node)) yield { node, state: this.running.has(node) ? "running" : "waiting" }
    }
  }
}

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
