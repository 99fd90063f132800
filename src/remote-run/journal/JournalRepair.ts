/** Closes the journal of a run that a crash cut off, so that every node has its end and every reader finds one. */
import { FileSystem } from "@effect/platform"
import { Effect, Option, Schema } from "effect"
import { StorageError } from "../../RelayError.ts"
import { type NodeEnded, NodeOutcome, type RunDone, RunStarted, seconds, verdict } from "../RunEvent.ts"
import { RunHead } from "../RunRecord.ts"
import { encodeHeader, Kind, recordLength } from "./JournalRecord.ts"
import * as JournalWindow from "./JournalWindow.ts"
import type { JournalSource } from "./RunJournal.ts"

const decodeHead = Schema.decodeUnknown(Schema.parseJson(RunHead))
const decodeStarted = Schema.decodeUnknown(Schema.parseJson(RunStarted))
const decodeOutcome = Schema.decodeUnknown(Schema.parseJson(NodeOutcome))

interface Found {
  head: Option.Option<RunHead>
  nodes: ReadonlyArray<string>
  readonly ended: Set<string>
  ok: number
  failed: number
  /** Whole records end here. */
  length: number
}

/** Reads whole records up to the first that is torn. */
const survey = (source: JournalSource) =>
  Effect.gen(function* () {
    const window = yield* JournalWindow.open(source)
    const found: Found = { head: Option.none(), nodes: [], ended: new Set(), ok: 0, failed: 0, length: 0 }
    const meet = (kind: Kind, node: string, json: string) =>
      Effect.gen(function* () {
        if (kind === Kind.head) found.head = yield* Effect.option(decodeHead(json))
        if (kind === Kind.run) found.nodes = (yield* decodeStarted(json)).nodes
        if (kind !== Kind.end) return
        found.ended.add(node)
        const outcome = verdict(yield* decodeOutcome(json))
        if (outcome === "ok") found.ok++
        if (outcome === "failed") found.failed++
      })
    while (found.length < source.length()) {
      const loaded = yield* Effect.option(window.load(found.length))
      const record = window.record(found.length)
      if (Option.isNone(loaded) || record === undefined) break
      yield* meet(record.kind, record.node.toString("latin1"), record.payload.toString("utf8"))
      found.length += recordLength(record)
    }
    return found
  })

const encode = (kind: Kind, node: string, event: NodeEnded | RunDone): Buffer => {
  const json = Buffer.from(JSON.stringify(event))
  return Buffer.concat([encodeHeader(kind, node, json.length, 0, { continued: false, open: false }), json])
}

const interrupted = {
  code: null,
  error: { _tag: "AgentError", message: "the relay stopped abruptly during the run" },
  duration: 0,
  stderr: ""
}

/** Appends the ends that are missing and `done`, and moves the file to its final place. One without a head is removed. */
export const repair = (
  openPath: string,
  finalPath: string
): Effect.Effect<void, StorageError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const info = yield* fs.stat(openPath)
    const size = Number(info.size)
    const found = yield* survey({
      paths: () => [openPath],
      length: () => size,
      unwritten: () => undefined,
      ended: () => true,
      grownBeyond: () => Effect.void
    })
    if (Option.isNone(found.head)) return yield* fs.remove(openPath)
    const missing = found.nodes.filter((node) => !found.ended.has(node))
    const last = Option.match(info.mtime, { onNone: () => 0, onSome: (time) => time.getTime() })
    const ends = missing.map((node) => encode(Kind.end, node, { event: "end", node, ...interrupted }))
    const done = encode(Kind.done, "", {
      event: "done",
      ok: found.ok,
      failed: found.failed + missing.length,
      duration: seconds(last - Date.parse(found.head.value.started)),
      interrupted: true
    })
    yield* fs.truncate(openPath, found.length)
    yield* fs.writeFile(openPath, Buffer.concat([...ends, done]), { flag: "a" })
    yield* fs.rename(openPath, finalPath)
    yield* Effect.logWarning("a run was cut off by a crash of the relay").pipe(
      Effect.annotateLogs({ run: found.head.value.id, nodes: missing.length })
    )
  }).pipe(
    Effect.scoped,
    Effect.mapError((cause) => new StorageError({ message: cause.message })),
    Effect.withSpan("RunHistory.repair", { attributes: { file: openPath } })
  )
