/**
 * The id of a node: what the nodes list, paths and signatures call it.
 *
 * Usually a UUID; `root` is the root server. It becomes a folder's name in the shared-files store and a prefix
 * of output lines, so it can hold nothing that means something there.
 */
import { Schema } from "effect"

/** Its form, in words. */
export const form = "1 to 200 letters, digits, '.', '_' or '-', neither '.' nor '..'"

/** Its form. */
export const pattern = /^(?!\.{1,2}$)[A-Za-z0-9._-]{1,200}$/

/**
 * The id of a node, which is part of paths and file names: 1 to 200 letters, digits, `.`, `_` or `-`, and neither `.`
 * nor `..`.
 */
export const NodeId = Schema.String.pipe(
  Schema.pattern(pattern, {
    message: () => `expected ${form}`
  }),
  Schema.brand("NodeId")
).annotations({ identifier: "NodeId" })
export type NodeId = typeof NodeId.Type

/** The root server's id. */
export const root: NodeId = NodeId.make("root")
