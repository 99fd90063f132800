/** Where a file stands below `shared_files.path`. */
import { Option } from "effect"
import type { NodeId } from "../../NodeId.ts"
import type { Nodes } from "../../topology/NodesList.ts"
import type { SharedFileName } from "./FileId.ts"

/**
 * - `tree`: `[<relay>/…]<target>/<source>/<file_id>`.
 * - `rudder`, which deployed agents and relays read: `[<relay>/shared-files/…]<target>/files/<source>/<file_id>`.
 */
export type Layout = "tree" | "rudder"

/** A place in the store. */
export interface Location {
  /** From the top down; never empty. */
  readonly folders: ReadonlyArray<string>
  readonly file: string
}

/** Of the file beside a stored file. No file id ends in it. */
export const metadataSuffix = ".metadata"

/**
 * Where a file belongs.
 *
 * @param relays the hops between this relay and the target
 */
export const locate = (
  layout: Layout,
  relays: ReadonlyArray<NodeId>,
  { target, source, fileId }: SharedFileName
): Location => ({
  folders: foldersOf(layout, relays, target, source),
  file: fileId
})

const foldersOf = (
  layout: Layout,
  relays: ReadonlyArray<NodeId>,
  target: NodeId,
  source: NodeId
): ReadonlyArray<string> => {
  const last = layout === "tree" ? [target, source] : [target, "files", source]
  if (relays.length === 0) return last
  return [...(layout === "tree" ? relays : relays.flatMap((relay) => [relay, "shared-files"])), ...last]
}

/** Where a file belongs by a list of nodes; none where its target is not below this relay. */
export const find = (layout: Layout, nodes: Nodes, name: SharedFileName): Option.Option<Location> => {
  const route = nodes.route(name.target)
  return route._tag === "Unknown"
    ? Option.none()
    : Option.some(locate(layout, route._tag === "Mine" ? [] : route.relays, name))
}

/** One text for one place. */
export const keyOf = ({ folders, file }: Location): string => [...folders, file].join("/")
