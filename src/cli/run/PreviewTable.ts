/** What a run would do, as lines. */
import * as Printable from "../../Printable.ts"
import type { RunPreview } from "../../remote-run/RunPreview.ts"

const heads = ["BATCH", "NODE", "HOST NAME", "VIA"] as const

/** A line is cut where the screen ends, on a terminal. */
const fitted = (line: string, width: number | undefined): string =>
  width === undefined || line.length <= width ? line : `${line.slice(0, Math.max(0, width - 1))}…`

/** One line a node, in the order in which they would start. @param width of the screen; undefined: lines are not cut */
export const lines = ({ nodes }: RunPreview, width: number | undefined): ReadonlyArray<string> => {
  const rows = nodes.map(({ batch, node, hostname, via }) => [
    String(batch),
    Printable.line(node),
    Printable.line(hostname),
    via.length === 0 ? "-" : Printable.line(via.join(" > "))
  ])
  const widths = heads.map((head, at) =>
    rows.reduce((most, row) => Math.max(most, row[at]?.length ?? 0), head.length)
  )
  return [heads, ...rows].map((row) =>
    fitted(
      row
        .map((cell, at) => cell.padEnd(widths[at] ?? 0))
        .join("  ")
        .trimEnd(),
      width
    )
  )
}
