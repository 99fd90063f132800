/** The files that are stored, by their names: listed and removed for those who run the relay. */
import { Effect, Option, Schema } from "effect"
import { RelayConfig } from "../config/RelayConfig.ts"
import * as EventLoop from "../EventLoop.ts"
import { NodeId } from "../NodeId.ts"
import type { StorageError, StorageFull } from "../RelayError.ts"
import { type Nodes, NodesList } from "../topology/NodesList.ts"
import { FileId, type SharedFileName } from "./file/FileId.ts"
import * as Location from "./file/Location.ts"
import { SharedFileStore } from "./store/SharedFileStore.ts"

/** What it takes to find them. */
export type Parts = SharedFileStore | NodesList | RelayConfig

/** Which files: those of one target or source, or all. */
export interface StoredQuery {
  /** At most so many. */
  readonly limit: number
  readonly target: Option.Option<NodeId>
  readonly source: Option.Option<NodeId>
  /** The `next` of the page before. */
  readonly after: Option.Option<string>
}

/** A stored file as it is shown. */
export interface ShownFile extends SharedFileName {
  /** Bytes. */
  readonly size: number
  /** RFC 3339. */
  readonly date: Option.Option<string>
  /** Unix time. */
  readonly expires: Option.Option<number>
}

/** A part of them. */
export interface ShownFiles {
  readonly files: ReadonlyArray<ShownFile>
  readonly next: Option.Option<string>
}

const isNodeId = Schema.is(NodeId)
const isFileId = Schema.is(FileId)

/** The name of the file at a place, as the layout has it there. None: it is at no place of a shared file's. */
const nameOf = (
  layout: Location.Layout,
  { folders, file }: Location.Location
): Option.Option<SharedFileName> => {
  const source = folders.at(-1)
  const target = folders.at(layout === "tree" ? -2 : -3)
  if (layout === "rudder" && !isRudderPlace(folders)) return Option.none()
  return isNodeId(target) && isNodeId(source) && isFileId(file)
    ? Option.some({ target, source, fileId: file })
    : Option.none()
}

/** `[<relay>/shared-files/…]<target>/files/<source>` */
const isRudderPlace = (folders: ReadonlyArray<string>): boolean =>
  folders.length % 2 === 1 &&
  folders.every((name, at) => at % 2 === 0 || name === (at === folders.length - 2 ? "files" : "shared-files"))

/** Which folders may have files of the nodes that a query names. A file may stand where its target once was. */
interface Search {
  readonly layout: Location.Layout
  readonly target: NodeId | undefined
  readonly source: NodeId | undefined
  /** Whether there may be folders of other nodes in this one's. */
  readonly mayBeRelay: (id: string) => boolean
}

const entersTree = ({ target, source, mayBeRelay }: Search, folders: ReadonlyArray<string>): boolean => {
  const [parent, last = ""] = [folders.at(-2), folders.at(-1)]
  if (target === undefined || last === target) return true
  return (parent === target && (source === undefined || last === source)) || mayBeRelay(last)
}

const entersRudder = ({ target, source, mayBeRelay }: Search, folders: ReadonlyArray<string>): boolean => {
  const [parent, last = ""] = [folders.at(-2) ?? "", folders.at(-1)]
  const isOfTarget = (id: string) => target === undefined || id === target
  if (folders.length % 2 === 1)
    return parent === "files" ? source === undefined || last === source : isOfTarget(last) || mayBeRelay(last)
  return last === "files" ? isOfTarget(parent) : last === "shared-files" && mayBeRelay(parent)
}

const nodesPerTurn = 5000

/** An id that is not in the list may have been a relay. */
const relaysOf = (nodes: Nodes) =>
  Effect.gen(function* () {
    const relays = new Set<string>()
    let count = 0
    for (const id of nodes.ids()) {
      Option.map(nodes.get(id), ({ policyServer }) => relays.add(policyServer))
      if (++count % nodesPerTurn === 0) yield* EventLoop.turn
    }
    return (id: string) => relays.has(id) || Option.isNone(nodes.get(id))
  })

const selectionOf = (
  target: Option.Option<NodeId>,
  source: Option.Option<NodeId>,
  isWanted: (name: SharedFileName) => boolean
) =>
  Effect.gen(function* () {
    const { layout } = (yield* RelayConfig).sharedFiles
    const nodes = yield* (yield* NodesList).current
    const search: Search = {
      layout,
      target: Option.getOrUndefined(target),
      source: Option.getOrUndefined(source),
      mayBeRelay: Option.isSome(target) ? yield* relaysOf(nodes) : () => true
    }
    const enters = layout === "tree" ? entersTree : entersRudder
    const isOf = (given: Option.Option<NodeId>, id: NodeId) => Option.getOrElse(given, () => id) === id
    return {
      layout,
      nodes,
      enter: (folders: ReadonlyArray<string>) => enters(search, folders),
      wanted: (location: Location.Location) =>
        Option.exists(
          nameOf(layout, location),
          (name) => isOf(target, name.target) && isOf(source, name.source) && isWanted(name)
        )
    }
  })

const placeOf = (text: string): Location.Location => {
  const folders = text.split("/")
  return { file: folders.pop() ?? "", folders }
}

/** A page of what is stored, in the order of its folders. */
export const list = ({
  limit,
  target,
  source,
  after
}: StoredQuery): Effect.Effect<ShownFiles, StorageError, Parts> =>
  Effect.gen(function* () {
    const store = yield* SharedFileStore
    const { layout, enter, wanted } = yield* selectionOf(target, source, () => true)
    const { files, next } = yield* store.list({ limit, after: Option.map(after, placeOf), enter, wanted })
    return {
      files: files.flatMap(({ location, size, date, expires }) =>
        Option.toArray(nameOf(layout, location)).map((name) => ({ ...name, size, date, expires }))
      ),
      next: Option.map(next, Location.keyOf)
    }
  })

/** More places than relays that a target can have been behind, one after the other. */
const mostPlaces = 1000

/**
 * Removes a file wherever it stands: where its target is now, and where it once was. False where there is none. What waits
 * in the outbox is not stored.
 */
export const remove = (name: SharedFileName): Effect.Effect<boolean, StorageError | StorageFull, Parts> =>
  Effect.gen(function* () {
    const store = yield* SharedFileStore
    const { layout, nodes, enter, wanted } = yield* selectionOf(
      Option.some(name.target),
      Option.some(name.source),
      ({ fileId }) => fileId === name.fileId
    )
    const now = Option.toArray(Location.find(layout, nodes, name))
    const elsewhere = yield* store.list({ limit: mostPlaces, after: Option.none(), enter, wanted })
    const places = new Map(
      [...now, ...elsewhere.files.map(({ location }) => location)].map((at) => [Location.keyOf(at), at])
    )
    const removed = yield* Effect.forEach(places.values(), store.remove)
    return removed.includes(true)
  })
