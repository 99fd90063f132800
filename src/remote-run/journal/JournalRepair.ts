/**
 * Closes the journal of a run that a crash cut off, so that every node has its end and every reader finds one. What can't
 * be read is stepped over where it is an event, and cut off where it is no whole record; the log says so.
 */
import { FileSystem } from "@effect/platform"
import { Effect, Either, Option, Schema } from "effect"
import { NodeId } from "../../NodeId.ts"
import { StorageError } from "../../RelayError.ts"
import {
  type Counts,
  counted,
  decodeOutcome,
  type NodeEnded,
  type RunDone,
  RunStarted,
  seconds,
  verdict
} from "../RunEvent.ts"
import { RunHead } from "../RunRecord.ts"
import { encodeHeader, type JournalRecord, Kind, recordLength } from "./JournalRecord.ts"
import type { JournalSource } from "./JournalSource.ts"
import * as JournalWindow from "./JournalWindow.ts"
import { NodeChains } from "./NodeChains.ts"
import * as PastJournal from "./PastJournal.ts"

const isNodeId = Schema.is(NodeId)
const decodeHead = Schema.decodeUnknownOption(Schema.parseJson(RunHead))
const decodeStarted = Schema.decodeUnknownEither(Schema.parseJson(RunStarted))

/** A record that a stop tore may be as long as it should be, with anything in it. */
const isJson = (text: string): boolean => {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** What a journal says up to the first record that is not whole. */
class Found {
  head: Option.Option<RunHead> = Option.none()
  done = false
  counts: Counts = { ok: 0, failed: 0 }
  /** Events that can't be read. */
  unreadable = 0
  /** Whole records end here. */
  length = 0
  /** What nodes without an end have printed, which their ends lead back to. */
  readonly chains = new NodeChains()
  private readonly nodes = new Set<string>()
  private readonly ended = new Set<string>()

  meet(record: JournalRecord): void {
    const node = record.node.toString("latin1")
    const json = () => record.payload.toString("utf8")
    this.chains.meet(record, node, this.length)
    this.length += recordLength(record)
    if (record.kind === Kind.head) this.head = decodeHead(json())
    if (record.kind === Kind.run) this.meetRun(json())
    if (record.kind === Kind.start) this.nodes.add(node)
    if (record.kind === Kind.end) this.meetEnd(node, json())
    if (record.kind === Kind.done) this.done = true
  }

  /** Nodes without an end. Where the event that names the run's nodes can't be read, those that other events name. */
  missing(): ReadonlyArray<string> {
    return [...this.nodes].filter((node) => !this.ended.has(node))
  }

  private meetRun(json: string): void {
    const run = decodeStarted(json)
    if (Either.isLeft(run)) this.unreadable++
    else for (const node of run.right.nodes) this.nodes.add(node)
  }

  /** A node whose end can't be read has ended, and counts as failed. */
  private meetEnd(node: string, json: string): void {
    this.ended.add(node)
    const outcome = decodeOutcome(json)
    if (Either.isLeft(outcome)) this.unreadable++
    this.counts = counted(this.counts, Either.isLeft(outcome) ? "failed" : verdict(outcome.right))
  }
}

const isOutput = ({ kind }: JournalRecord): boolean => kind === Kind.stdout || kind === Kind.stderr

const survey = (source: JournalSource) =>
  Effect.gen(function* () {
    const window = yield* JournalWindow.open(source)
    const wholeAt = (offset: number) =>
      Effect.gen(function* () {
        if (offset >= source.length()) return undefined
        if (window.record(offset) === undefined && !(yield* window.find(offset))) return undefined
        const record = window.record(offset)
        if (record === undefined) return undefined
        const isNamed = record.nodeLength === 0 || isNodeId(record.node.toString("latin1"))
        return isNamed ? record : undefined
      })
    const found = new Found()
    while (!found.done) {
      const record = yield* wholeAt(found.length)
      if (record === undefined) break
      if (!isOutput(record) && !isJson(record.payload.toString("utf8"))) {
        // The last record was torn by the crash. An earlier one is damaged, but what follows it can be read.
        const isLast = (yield* wholeAt(found.length + recordLength(record))) === undefined
        if (isLast) break
        yield* wholeAt(found.length)
      }
      const again = window.record(found.length)
      if (again === undefined) break
      found.meet(again)
    }
    return found
  })

const encode = (
  kind: Kind,
  node: string,
  event: NodeEnded | RunDone | Record<string, never>,
  previous: number
): Buffer => {
  const json = Buffer.from(JSON.stringify(event))
  return Buffer.concat([
    encodeHeader(kind, node, json.length, previous, { continued: false, open: false }),
    json
  ])
}

const interrupted = {
  code: null,
  interrupted: true as const,
  error: { _tag: "AgentError", message: "the relay stopped abruptly during the run" },
  duration: 0,
  stderr: ""
}

/** The ends that are missing, with the parts that they end, and `done`; nothing where the run was over before the crash. */
const ending = (found: Found, head: RunHead, last: number): Buffer => {
  if (found.done) return Buffer.alloc(0)
  const missing = found.missing()
  const ends = missing.map((node) =>
    encode(Kind.end, node, { event: "end", node, ...interrupted }, found.chains.take(node))
  )
  const passed = found.chains.left().map(({ node, last }) => encode(Kind.passed, node, {}, last))
  const done: RunDone = {
    event: "done",
    ...found.counts,
    failed: found.counts.failed + missing.length,
    duration: seconds(last - Date.parse(head.started)),
    interrupted: true
  }
  return Buffer.concat([...passed, ...ends, encode(Kind.done, "", done, 0)])
}

const report = (found: Found, { id }: RunHead, size: number) => {
  const bytes = size - found.length
  const damage = {
    ...(found.unreadable > 0 ? { unreadable: found.unreadable } : {}),
    ...(bytes > 0 ? { bytesCutOff: bytes } : {})
  }
  const what = found.done
    ? "the history of a run was put in its place"
    : "a run was cut off by a crash of the relay"
  return Effect.logWarning(what).pipe(
    Effect.annotateLogs({ run: id, ...(found.done ? {} : { nodes: found.missing().length }), ...damage })
  )
}

/**
 * Appends what is missing, and moves the file to its final place. One that does not even say which run it is of is
 * removed: there is nothing to show of it.
 */
export const repair: (
  openPath: string,
  finalPath: string
) => Effect.Effect<void, StorageError, FileSystem.FileSystem> = Effect.fn("RunHistory.repair")(
  function* (openPath, finalPath) {
    yield* Effect.annotateCurrentSpan("file", openPath)
    const fs = yield* FileSystem.FileSystem
    const info = yield* fs.stat(openPath)
    const size = Number(info.size)
    const found = yield* survey(PastJournal.make(openPath, size))
    if (Option.isNone(found.head)) {
      yield* Effect.logWarning("a file of runs says nothing of a run, and is removed").pipe(
        Effect.annotateLogs({ file: openPath, bytes: size })
      )
      return yield* fs.remove(openPath)
    }
    const last = Option.match(info.mtime, { onNone: () => 0, onSome: (time) => time.getTime() })
    if (found.length < size) yield* fs.truncate(openPath, found.length)
    if (!found.done) yield* fs.writeFile(openPath, ending(found, found.head.value, last), { flag: "a" })
    yield* fs.rename(openPath, finalPath)
    yield* report(found, found.head.value, size)
  },
  (effect, openPath) =>
    effect.pipe(
      Effect.scoped,
      Effect.mapError((cause) => new StorageError({ message: cause.message })),
      Effect.tapError(({ message }) =>
        Effect.logWarning("the history of a run that was cut off can't be closed").pipe(
          Effect.annotateLogs({ file: openPath, problem: message })
        )
      )
    )
)
