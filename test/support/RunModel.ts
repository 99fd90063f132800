/** When the nodes of a run under control start and end, reckoned another way than the relay does: as a table of times. */

/** A node as the model sees it. Times in milliseconds. */
export interface ModelNode {
  readonly id: string
  /** Own agents need permits; a sub-relay starts all that it is given. */
  readonly where: "own" | "first" | "second"
  readonly lasts: number
  readonly well: boolean
}

/** What a caller asks for, as it is written. */
export interface ModelControl {
  readonly batch?: string | undefined
  readonly canary?: string | undefined
  readonly max_failures?: string | undefined
  /** Milliseconds. */
  readonly wait: number
}

/** Times since the run's start, or `skipped`. */
export type ModelFate = { readonly from: number; readonly to: number } | "skipped"

export interface Predicted {
  readonly fates: ReadonlyMap<string, ModelFate>
  /** The nodes of each batch that was begun. */
  readonly batches: ReadonlyArray<ReadonlyArray<string>>
}

/** Exactly, by whole numbers: a percentage has up to three decimals. */
const numberOf = (text: string, nodes: number, rounded: "up" | "down"): number => {
  if (!text.endsWith("%")) return Number(text)
  const [whole = "", decimals = ""] = text.slice(0, -1).split(".")
  const part = BigInt(whole + decimals.padEnd(3, "0")) * BigInt(nodes)
  const all = 100_000n
  return Number(rounded === "up" ? (part + all - 1n) / all : part / all)
}

/** No two ends may fall on one moment: then nothing depends on who is asked first. */
export const predict = (
  nodes: ReadonlyArray<ModelNode>,
  { batch, canary, max_failures, wait }: ModelControl,
  permits: number
): Predicted => {
  const count = nodes.length
  const limit = max_failures === undefined ? Number.POSITIVE_INFINITY : numberOf(max_failures, count, "down")
  const size = batch === undefined ? count : numberOf(batch, count, "up")
  const fates = new Map<string, ModelFate>(nodes.map(({ id }) => [id, "skipped"]))
  const batches: Array<ReadonlyArray<string>> = []
  let rest = nodes
  let failures = 0
  let now = 0
  while (rest.length > 0) {
    const isFirst = batches.length === 0
    if (!isFirst) now += wait
    const members = rest.slice(0, isFirst && canary !== undefined ? numberOf(canary, count, "up") : size)
    rest = rest.slice(members.length)
    batches.push(members.map(({ id }) => id))
    const queue = members.filter(({ where }) => where === "own")
    const going = new Set<{ readonly node: ModelNode; readonly to: number }>()
    const begin = (node: ModelNode) => {
      const to = now + node.lasts
      fates.set(node.id, { from: now, to })
      going.add({ node, to })
    }
    for (const node of members) if (node.where !== "own") begin(node)
    for (const node of queue.splice(0, permits)) begin(node)
    while (going.size > 0) {
      const next = [...going].reduce((one, other) => (other.to < one.to ? other : one))
      going.delete(next)
      now = next.to
      if (!next.node.well) failures++
      if (failures > limit) queue.length = 0
      if (next.node.where === "own") for (const node of queue.splice(0, 1)) begin(node)
    }
    if (failures > limit) break
    if (isFirst && canary !== undefined && failures > 0) break
  }
  return { fates, batches }
}
