/** Looks at stored files by plain calls, for what is asked again and again: where a file belongs is found once for each list of nodes. */
import { Option } from "effect"
import type { Settings } from "../config/Settings.ts"
import type { ContentHash } from "../disk/ContentHash.ts"
import type { Batch } from "../EventLoop.ts"
import { perObject } from "../PerObject.ts"
import type { Nodes, NodesList } from "../topology/NodesList.ts"
import type { SharedFileName } from "./file/FileId.ts"
import * as Location from "./file/Location.ts"
import type { SharedFileStoreService } from "./store/SharedFileStore.ts"

/** What says where files are. */
export interface Parts {
  readonly settings: Settings
  readonly nodesList: NodesList["Type"]
  readonly store: SharedFileStoreService
}

/** Whether a file is there with a content, by a look at the disk, which is this batch's; undefined: it takes more than that. */
export type Look = (batch?: Batch) => boolean | undefined

/** Where a file belongs by this list. */
export const locationOf = ({ settings }: Pick<Parts, "settings">, nodes: Nodes, name: SharedFileName) =>
  Location.find(settings.sharedFiles.layout, nodes, name)

/** Where a file was found to belong by a list. */
export interface Found {
  readonly nodes: Nodes
  readonly found: Option.Option<Location.Location>
}

/** Where a file belongs by this list, which as a rule is the one by which that was found before. */
export const locationSince = (
  parts: Pick<Parts, "settings">,
  nodes: Nodes,
  name: SharedFileName,
  before: Found
) => (nodes === before.nodes ? before.found : locationOf(parts, nodes, name))

/** In layout `tree` the folder of a relay is beside those of nodes and sources, whose names might be the same. */
export const isNameOfNode = (
  { settings }: Pick<Parts, "settings">,
  nodes: Nodes,
  { fileId }: SharedFileName
): boolean => settings.sharedFiles.layout === "tree" && Option.isSome(nodes.get(fileId))

/** A look at where the file belongs by this list; undefined: it may have no such name, or belongs nowhere here. */
const lookBy = (parts: Parts, nodes: Nodes, name: SharedFileName, hash: ContentHash): Look | undefined => {
  if (isNameOfNode(parts, nodes, name)) return undefined
  const location = locationOf(parts, nodes, name)
  return Option.isSome(location) ? parts.store.lookAt?.(location.value, hash) : undefined
}

/** What stands for a list, and does not keep it in memory once there is another one. */
const versionOf = perObject((_: Nodes) => Symbol("nodes"))

/** Looks at the file each time that it is called, by the list of then. */
export const make = (parts: Parts, name: SharedFileName, hash: ContentHash): Look => {
  let version: symbol | undefined
  let look: Look | undefined
  return (batch) => {
    const nodes = parts.nodesList.now?.()
    if (nodes === undefined) return undefined
    const now = versionOf(nodes)
    if (version !== now) {
      look = lookBy(parts, nodes, name, hash)
      version = now
    }
    return look?.(batch)
  }
}
