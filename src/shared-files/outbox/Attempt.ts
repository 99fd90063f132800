/** One attempt to get rid of an entry: what is looked at before it is sent, the sending, and what the answer means. */
import { Readable } from "node:stream"
import { Effect, Option } from "effect"
import * as AtOnce from "../../AtOnce.ts"
import { RelayConfig } from "../../config/RelayConfig.ts"
import { DiskError, isNotOfItsKind } from "../../disk/Disk.ts"
import * as Incoming from "../../disk/Incoming.ts"
import * as FiberClock from "../../FiberClock.ts"
import type { UpstreamFatal, UpstreamRejected } from "../../RelayError.ts"
import { type Nodes, NodesList, type NodesListService } from "../../topology/NodesList.ts"
import * as Location from "../file/Location.ts"
import type { BadSignature } from "../file/SharedFileError.ts"
import { SharedFileStore, type SharedFileStoreService } from "../store/SharedFileStore.ts"
import type { EntryName } from "./EntryName.ts"
import * as EntryRecord from "./EntryRecord.ts"
import type { LoadedEntry, Spool } from "./Spool.ts"
import { Upstream, type UpstreamService, type UpstreamUnreachable } from "./Upstream.ts"

/**
 * What became of an attempt. The first ones end an entry, `Refused` sets it apart, and the last ones leave it waiting.
 *
 * - `Delivered`: the policy server took it over.
 * - `Stored`: its target is below this relay now, and has it.
 * - `Expired`: its ttl has passed.
 * - `Replaced`: there is a newer version of it already.
 * - `Damaged`: it is not whole on the disk.
 * - `Refused`: the policy server will not take it; or its source is no longer below this relay. With the answer's status.
 * - `Deferred`: it was not taken this time, and is worth another try.
 * - `Unreachable`: the policy server does not answer, so that nothing else is worth a try for now either.
 */
export type Verdict =
  | { readonly _tag: "Delivered" | "Stored" | "Expired" | "Replaced" | "Damaged" }
  | { readonly _tag: "Refused"; readonly message: string; readonly status: number }
  | { readonly _tag: "Deferred" | "Unreachable"; readonly message: string }

/**
 * Attempts to get rid of an entry, and changes nothing of it.
 *
 * @param answered called when the policy server has answered, whatever it said
 */
export type Attempt = (entry: EntryName, loaded: LoadedEntry, answered: () => void) => Effect.Effect<Verdict>

interface Parts {
  readonly spool: Pick<Spool, "content">
  readonly layout: Location.Layout
  readonly nodesList: NodesListService
  readonly store: SharedFileStoreService
  readonly upstream: UpstreamService
}

/** Attempts for entries of this spool, with the topology, store and policy server that are provided. */
export const make = (spool: Spool) =>
  Effect.gen(function* () {
    const { sharedFiles } = yield* RelayConfig
    const parts: Parts = {
      spool,
      layout: sharedFiles.layout,
      nodesList: yield* NodesList,
      store: yield* SharedFileStore,
      upstream: yield* Upstream
    }
    const made: Attempt = (...given) => attempt(parts, ...given)
    return made
  })

const attempt = (
  parts: Parts,
  ...[entry, { record, isWhole, bytes }, answered]: Parameters<Attempt>
): Effect.Effect<Verdict> => {
  if (Option.isNone(record) || !isWhole) return Effect.succeed(damaged)
  if (bytes !== undefined) return attemptWhole(parts, entry, record.value, bytes, answered)
  // Of what is read while it is sent, or stored, it is known only then whether all of it is as it was written.
  let isDamaged = false
  const content = (from: EntryName) => watched(parts.spool.content(from), () => (isDamaged = true))
  const watching = { ...parts, spool: { ...parts.spool, content } }
  return Effect.map(attemptWhole(watching, entry, record.value, bytes, answered), (verdict) =>
    isDamaged ? damaged : verdict
  )
}

/** The same pieces; of what is not as it was written it is told. */
async function* watched(pieces: AsyncIterable<Uint8Array>, onDamage: () => void): AsyncGenerator<Uint8Array> {
  try {
    yield* pieces
  } catch (error) {
    if (error instanceof DiskError && isNotOfItsKind(error)) onDamage()
    throw error
  }
}

const damaged: Verdict = { _tag: "Damaged" }

/** Attempts it where its content is whole. @param bytes all of it, where it is small */
const attemptWhole = (
  parts: Parts,
  entry: EntryName,
  record: EntryRecord.EntryRecord,
  bytes: Uint8Array | undefined,
  answered: () => void
): Effect.Effect<Verdict> =>
  Effect.withFiberRuntime((fiber) =>
    AtOnce.flatMap(loadedNodes(parts.nodesList), (nodes): Effect.Effect<Verdict> => {
      if (nodes === undefined) return Effect.succeed(deferred("the nodes list was not loaded yet"))
      const ttl = EntryRecord.remainingTtl(record.metadata, FiberClock.of(fiber).unsafeCurrentTimeMillis())
      if (Option.isNone(ttl)) return Effect.succeed({ _tag: "Expired" })
      const location = Location.find(parts.layout, nodes, record.name)
      if (Option.isSome(location)) return keep(parts, entry, record, location.value)
      const { source } = record.name
      if (nodes.route(source)._tag === "Unknown")
        return Effect.succeed({
          _tag: "Refused",
          message: `no node ${source} below this relay any more`,
          status: 403
        })
      return send(parts, entry, record, ttl.value, bytes, answered)
    })
  )

/** The list of nodes; undefined where none was loaded yet. One that has nodes was. */
const loadedNodes = ({ current, neverLoaded, now }: NodesListService): Effect.Effect<Nodes | undefined> => {
  const nodes = now?.()
  return nodes !== undefined && nodes.size > 0
    ? Effect.succeed(nodes)
    : Effect.flatMap(neverLoaded, (never) => (never ? Effect.succeed(undefined) : current))
}

const deferred = (message: string): Verdict => ({ _tag: "Deferred", message })

/** Stores a file whose target is below this relay now. */
const keep = (
  { spool, store }: Parts,
  entry: EntryName,
  { began, metadata }: EntryRecord.EntryRecord,
  to: Location.Location
): Effect.Effect<Verdict> =>
  Effect.gen(function* () {
    const turn = yield* store.pastTurn(to)
    // The target was unknown when this file's request began. So a file that is stored by now, and was accepted after that
    // moment, came from a request that began later, and stays.
    if (yield* store.isLater(to, began)) return { _tag: "Replaced" } as const
    yield* store.checkRoom(entry.size)
    const incoming = yield* store.begin
    yield* Incoming.copy(incoming, spool.content(entry))
    yield* store.commit(to, turn, incoming, metadata)
    return { _tag: "Stored" } as const
  }).pipe(
    Effect.scoped,
    Effect.catchTags({
      BadSignature: (error: BadSignature) =>
        Effect.as(
          Effect.logInfo("a stored file is newer than one that waited").pipe(
            Effect.annotateLogs({ error: error.message })
          ),
          { _tag: "Replaced" } as const
        ),
      StorageError: (error) => Effect.succeed(deferred(error.message)),
      StorageFull: (error) => Effect.succeed(deferred(error.message))
    })
  )

/** Sends a file to the policy server. */
const send = (
  { spool, upstream }: Parts,
  entry: EntryName,
  record: EntryRecord.EntryRecord,
  ttl: string,
  bytes: Uint8Array | undefined,
  answered: () => void
): Effect.Effect<Verdict> =>
  Effect.matchEffect(
    upstream.put({
      name: record.name,
      ttl,
      header: EntryRecord.header(record.metadata),
      size: entry.size,
      content: () => Readable.from(copied(spool.content(entry)), { objectMode: false }),
      bytes
    }),
    {
      onSuccess: () => {
        answered()
        return delivered
      },
      onFailure: (error) => {
        const verdict = verdictOf(error)
        if (verdict._tag !== "Unreachable") answered()
        return Effect.succeed(verdict)
      }
    }
  )

const delivered = Effect.succeed<Verdict>({ _tag: "Delivered" })

const verdictOf = (error: UpstreamRejected | UpstreamFatal | UpstreamUnreachable): Verdict => {
  const { message } = error
  switch (error._tag) {
    case "UpstreamRejected":
      return { _tag: "Refused", message, status: error.status }
    case "UpstreamFatal":
      return deferred(message)
    case "UpstreamUnreachable":
      return { _tag: "Unreachable", message }
  }
}

/** Pieces of their own: the memory of those that the spool gives is used again. */
async function* copied(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const piece of pieces) yield Buffer.from(piece)
}
