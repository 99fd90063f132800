/** One attempt to get rid of an entry: what is looked at before it is sent, the sending, and what the answer means. */
import { Readable } from "node:stream"
import { Clock, Effect, Option } from "effect"
import { RelayConfig } from "../../config/RelayConfig.ts"
import type { DiskError } from "../../disk/Disk.ts"
import * as Incoming from "../../disk/Incoming.ts"
import { type Nodes, NodesList } from "../../topology/NodesList.ts"
import { type Location, locate } from "../file/Location.ts"
import type { BadSignature } from "../file/SharedFileError.ts"
import { SharedFileStore } from "../store/SharedFileStore.ts"
import type { EntryName } from "./EntryName.ts"
import * as EntryRecord from "./EntryRecord.ts"
import type { Spool } from "./Spool.ts"
import { Upstream } from "./Upstream.ts"

/**
 * What became of an attempt. The first ones end an entry, `Refused` sets it apart, and the last ones leave it waiting.
 *
 * - `Delivered`: the policy server took it over.
 * - `Stored`: its target is below this relay now, and has it.
 * - `Expired`: its ttl has passed.
 * - `Replaced`: there is a newer version of it already.
 * - `Damaged`: it is not whole on the disk.
 * - `Refused`: the policy server will not take it; or its source is no longer below this relay.
 * - `Deferred`: not this time.
 * - `Unreachable`: nor anything else, for now.
 */
export type Verdict =
  | { readonly _tag: "Delivered" | "Stored" | "Expired" | "Replaced" | "Damaged" }
  | { readonly _tag: "Refused"; readonly message: string; readonly status: number }
  | { readonly _tag: "Deferred" | "Unreachable"; readonly message: string }

const deferred = (message: string): Verdict => ({ _tag: "Deferred", message })

/** Pieces of their own: those that the disk gives are used again. */
async function* copied(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const piece of pieces) yield Buffer.from(piece)
}

/** Where a file belongs, if its target is below this relay. */
const locationOf = (
  layout: "tree" | "rudder",
  nodes: Nodes,
  { name }: EntryRecord.EntryRecord
): Option.Option<Location> => {
  const route = nodes.route(name.target)
  return route._tag === "Unknown"
    ? Option.none()
    : Option.some(locate(layout, route._tag === "Mine" ? [] : route.relays, name))
}

/** Attempts with the topology, store and policy server that are provided. */
export const make = Effect.gen(function* () {
  const { sharedFiles } = yield* RelayConfig
  const nodesList = yield* NodesList
  const store = yield* SharedFileStore
  const upstream = yield* Upstream

  const keep = (spool: Spool, entry: EntryName, { began, metadata }: EntryRecord.EntryRecord, to: Location) =>
    Effect.gen(function* () {
      const turn = yield* store.pastTurn(to)
      // Only what was there before its request began is replaced: what came after began after, since this one found the
      // target unknown, and an upload whose target has gone is not stored (unless it came back within that upload).
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

  const send = (
    spool: Spool,
    entry: EntryName,
    record: EntryRecord.EntryRecord,
    ttl: string,
    answered: Effect.Effect<void>
  ) =>
    upstream
      .put({
        name: record.name,
        ttl,
        header: EntryRecord.header(record.metadata),
        size: entry.size,
        content: () => Readable.from(copied(spool.content(entry)), { objectMode: false })
      })
      .pipe(
        Effect.as<Verdict>({ _tag: "Delivered" }),
        Effect.tapBoth({
          onSuccess: () => answered,
          onFailure: ({ _tag }) => (_tag === "UpstreamUnreachable" ? Effect.void : answered)
        }),
        Effect.catchTags({
          UpstreamRejected: ({ message, status }) =>
            Effect.succeed<Verdict>({ _tag: "Refused", message, status }),
          UpstreamFatal: ({ message }) => Effect.succeed(deferred(message)),
          UpstreamUnreachable: ({ message }) => Effect.succeed<Verdict>({ _tag: "Unreachable", message })
        })
      )

  /** @param answered run when the policy server has answered, whatever it said */
  return (
    spool: Spool,
    entry: EntryName,
    record: Option.Option<EntryRecord.EntryRecord>,
    answered: Effect.Effect<void>
  ): Effect.Effect<Verdict, DiskError> =>
    Effect.gen(function* () {
      if (Option.isNone(record) || !(yield* spool.isWhole(entry))) return { _tag: "Damaged" }
      if (yield* nodesList.neverLoaded) return deferred("the nodes list was not loaded yet")
      const ttl = EntryRecord.remainingTtl(record.value.metadata, yield* Clock.currentTimeMillis)
      if (Option.isNone(ttl)) return { _tag: "Expired" }
      const nodes = yield* nodesList.current
      const location = locationOf(sharedFiles.layout, nodes, record.value)
      if (Option.isSome(location)) return yield* keep(spool, entry, record.value, location.value)
      const { source } = record.value.name
      if (nodes.route(source)._tag === "Unknown")
        return { _tag: "Refused", message: `no node ${source} below this relay any more`, status: 403 }
      return yield* send(spool, entry, record.value, ttl.value, answered)
    })
})
