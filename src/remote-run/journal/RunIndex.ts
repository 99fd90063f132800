/**
 * The indexes of the runs' folders: by them the list finds runs by node and by who asked, and shows them, without opening
 * their journals. An index says nothing that the journals do not say: what is missing there, as after a crash, is read
 * from the journal, and a start adds it.
 */
import type { FileSystem, Error as PlatformError } from "@effect/platform"
import { Effect, Option } from "effect"
import * as EventLoop from "../../EventLoop.ts"
import * as Permits from "../../Permits.ts"
import type { RunId } from "../RunId.ts"
import * as IndexEntry from "./IndexEntry.ts"
import { folderOf, isMissing, type RunFolders } from "./RunFolders.ts"

/** What runs are searched for; none of a field: any. */
export interface RunSearch {
  readonly node: Option.Option<string>
  readonly actor: Option.Option<string>
}

/** All of them. */
export const everyRun: RunSearch = { node: Option.none(), actor: Option.none() }

/** Whether a search leaves any run out. */
export const isNarrow = ({ node, actor }: RunSearch): boolean => Option.isSome(node) || Option.isSome(actor)

/** What an index says of a run. */
export interface IndexedRun {
  /** Its nodes and who asked are all there, so `matches` holds. */
  readonly isComplete: boolean
  readonly matches: boolean
  /** Its summary is there. Not said of a run that does not match. */
  readonly isSummarized: boolean
  /** The JSON of its summary; undefined where there is none, it does not match, or too many newer ones are there. */
  readonly summary: string | undefined
}

/** What keeps the indexes. Writing goes on behind the caller; what fails is in the log, once. */
export interface RunIndex {
  /** A run begins, in a folder that is there. `actor` is empty where nobody is named. */
  readonly begun: (id: RunId, actor: string, nodes: ReadonlyArray<string>) => void
  /** The summary of a run that is over. */
  readonly ended: (id: RunId, json: string) => void
  /** The runs that the index of a time's folder knows, by their ids. Where it can't be read, it knows none. */
  readonly read: (folder: string, search: RunSearch) => Effect.Effect<ReadonlyMap<string, IndexedRun>>
}

/** Entries of one folder, made while they are written. */
interface Addition {
  readonly folder: string
  readonly entries: Iterable<Buffer>
}

/** What indexes are kept with. */
export interface RunIndexOptions {
  readonly fs: FileSystem.FileSystem
  readonly folders: RunFolders
  /** Runs a write, which ends with the history at the latest. */
  readonly fork: (effect: Effect.Effect<void>) => void
  /** An index has so many bytes more. */
  readonly wrote: (bytes: number) => void
}

interface Parts extends RunIndexOptions {
  /** Indexes are read here, one at a time: memory for each would be given back by the collector alone. */
  readonly buffer: Buffer
  readonly alone: Permits.Permits
  pending: Array<Addition>
  writing: boolean
  /** What the log said last. */
  lastProblem: string
}

/** Written at once. Bytes. */
const writeLength = 256 * 1024

/** Summaries that a look at an index holds: more than a page has. */
const maxSummaries = 4096

/** Reads and writes nothing until it is asked to. */
export const make = (options: RunIndexOptions): RunIndex => {
  const parts: Parts = {
    ...options,
    buffer: Buffer.alloc(4 * IndexEntry.maxBodyLength),
    alone: Permits.make(1),
    pending: [],
    writing: false,
    lastProblem: ""
  }
  return {
    begun: (id, actor, nodes) =>
      add(parts, { folder: folderOf(id), entries: IndexEntry.nodesOf(id, actor, nodes) }),
    ended: (id, json) => {
      const entry = IndexEntry.summaryOf(id, json)
      if (entry !== undefined) add(parts, { folder: folderOf(id), entries: [entry] })
    },
    read: (folder, search) =>
      read(parts, folder, search).pipe(
        Effect.catchAll((error) => Effect.as(report(parts, error), new Map<string, IndexedRun>()))
      )
  }
}

const add = (parts: Parts, addition: Addition): void => {
  parts.pending.push(addition)
  if (parts.writing) return
  parts.writing = true
  parts.fork(writeAll(parts))
}

const writeAll = (parts: Parts): Effect.Effect<void> =>
  Effect.gen(function* () {
    while (parts.pending.length > 0) {
      const additions = parts.pending
      parts.pending = []
      for (const [folder, these] of byFolder(additions)) yield* write(parts, folder, these)
    }
    parts.writing = false
  }).pipe(Effect.uninterruptible)

const byFolder = (additions: ReadonlyArray<Addition>) => {
  const found = new Map<string, Array<Addition>>()
  for (const addition of additions) {
    const same = found.get(addition.folder)
    if (same === undefined) found.set(addition.folder, [addition])
    else same.push(addition)
  }
  return found
}

const write = (parts: Parts, folder: string, additions: ReadonlyArray<Addition>) =>
  Effect.gen(function* () {
    const path = parts.folders.indexPath(folder)
    let batch: Array<Buffer> = []
    let length = 0
    const flush = Effect.suspend(() => {
      const bytes = Buffer.concat(batch)
      batch = []
      length = 0
      return bytes.length === 0 ? Effect.void : append(parts, path, bytes)
    })
    for (const { entries } of additions) {
      for (const entry of entries) {
        batch.push(entry)
        length += entry.length
        // To make entries for many nodes takes its time, and so does a large write.
        if (length >= writeLength) yield* Effect.andThen(flush, EventLoop.turn)
      }
    }
    yield* flush
  })

/** Where the folder is not there, its runs are kept elsewhere, and the log has that already. */
const append = (parts: Parts, path: string, bytes: Buffer) =>
  parts.fs.writeFile(path, bytes, { flag: "a", mode: 0o600 }).pipe(
    Effect.tap(() => Effect.sync(() => parts.wrote(bytes.length))),
    Effect.catchAll((error) => (isMissing(error) ? Effect.void : report(parts, error)))
  )

const report = (parts: Parts, { message }: PlatformError.PlatformError) =>
  Effect.suspend(() => {
    const isNew = message !== parts.lastProblem
    parts.lastProblem = message
    return isNew
      ? Effect.logWarning("the index of runs can't be kept; the list is slower without it").pipe(
          Effect.annotateLogs({ problem: message })
        )
      : Effect.void
  })

/** What was found of a run so far. */
interface Finding {
  isComplete: boolean
  isOfActor: boolean
  hasNode: boolean
  isSummarized: boolean
  matches: boolean
  summary: string | undefined
}

/** A run that is not searched for, which nothing that follows can change but its beginning again. */
const leftOut: Finding = {
  isComplete: true,
  isOfActor: false,
  hasNode: false,
  isSummarized: false,
  matches: false,
  summary: undefined
}

/** What an index said up to here. A later entry counts more than an earlier one: a run may begin again. */
class Findings {
  readonly runs = new Map<string, Finding>()
  /** Of those that have their summary here, the oldest first. */
  private readonly summarized = new Set<Finding>()
  private anyMatches = false
  private readonly node: Buffer | undefined
  private readonly actor: string | undefined

  constructor({ node, actor }: RunSearch) {
    this.node = Option.getOrUndefined(Option.map(node, IndexEntry.fingerprint))
    this.actor = Option.getOrUndefined(actor)
  }

  meet(entry: IndexEntry.IndexEntry): void {
    if (entry.kind === IndexEntry.Kind.nodes) this.meetNodes(entry)
    if (entry.kind === IndexEntry.Kind.summary && this.anyMatches) this.meetSummary(entry)
  }

  private meetNodes(entry: IndexEntry.IndexEntry): void {
    const id = IndexEntry.idOf(entry)
    const run = entry.first ? this.begun(id, entry) : this.runs.get(id)
    // Without the run's first entry, which a crash took, the others say nothing.
    if (run === undefined || run.isComplete) return
    if (!entry.first && this.node !== undefined && run.isOfActor)
      run.hasNode ||= IndexEntry.hasNode(entry, this.node)
    run.isComplete = entry.last
    run.matches = run.isComplete && run.isOfActor && run.hasNode
    this.anyMatches ||= run.matches
  }

  /** Most runs that are not searched for have one entry of nodes: nothing is kept of each but its id. */
  private begun(id: string, entry: IndexEntry.IndexEntry): Finding {
    if (this.summarized.size > 0) {
      const before = this.runs.get(id)
      if (before !== undefined) this.summarized.delete(before)
    }
    const isOfActor = this.actor === undefined || IndexEntry.actorOf(entry) === this.actor
    const hasNode = this.node === undefined || (isOfActor && IndexEntry.hasNode(entry, this.node))
    const run =
      entry.last && !(isOfActor && hasNode)
        ? leftOut
        : {
            isComplete: false,
            isOfActor,
            hasNode,
            isSummarized: false,
            matches: false,
            summary: undefined
          }
    this.runs.set(id, run)
    return run
  }

  private meetSummary(entry: IndexEntry.IndexEntry): void {
    const run = this.runs.get(IndexEntry.idOf(entry))
    if (run === undefined || !run.matches) return
    run.isSummarized = true
    run.summary = IndexEntry.jsonOf(entry)
    this.summarized.add(run)
    const [oldest] = this.summarized
    if (this.summarized.size <= maxSummaries || oldest === undefined) return
    oldest.summary = undefined
    this.summarized.delete(oldest)
  }
}

const read = ({ fs, folders, buffer, alone }: Parts, folder: string, search: RunSearch) =>
  Effect.gen(function* () {
    const findings = new Findings(search)
    const path = folders.indexPath(folder)
    const file = yield* fs.open(path, { flag: "r" }).pipe(
      Effect.asSome,
      Effect.catchIf(isMissing, () => Effect.succeedNone)
    )
    if (Option.isSome(file)) yield* scan(file.value, buffer, findings)
    return findings.runs
  }).pipe(Effect.scoped, alone)

const scan = (file: FileSystem.File, buffer: Buffer, findings: Findings) =>
  Effect.gen(function* () {
    let filled = 0
    for (let isOver = false; !isOver; ) {
      const count = Number(yield* file.read(buffer.subarray(filled)))
      isOver = count === 0
      filled += count
      const used = meetAll(buffer.subarray(0, filled), isOver, findings)
      buffer.copy(buffer, 0, used, filled)
      filled -= used
    }
  })

/**
 * Meets each whole entry; what is none is stepped over. Gives how many bytes were gone through; what is left may be the
 * beginning of an entry, of which the longest has place in the buffer.
 */
const meetAll = (bytes: Buffer, isOver: boolean, findings: Findings): number => {
  let at = 0
  while (at < bytes.length) {
    const entry = IndexEntry.decode(bytes, at)
    if (entry === "short" && !isOver) break
    if (entry === "short" || entry === "damaged") at = IndexEntry.nextAfter(bytes, at)
    else {
      findings.meet(entry)
      at = entry.end
    }
  }
  return Math.min(at, bytes.length)
}
