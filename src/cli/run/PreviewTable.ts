/** What a run would do, as lines. */
import type { RunPreview } from "../../remote-run/RunPreview.ts"
import { type Column, render } from "../Table.ts"

const columns: ReadonlyArray<Column<RunPreview["nodes"][number]>> = [
  { title: "BATCH", cell: ({ batch }) => String(batch) },
  { title: "NODE", cell: ({ node }) => node },
  { title: "HOST NAME", cell: ({ hostname }) => hostname, least: 16 },
  { title: "VIA", cell: ({ via }) => via.join(" > "), least: 8 }
]

/** One line a node, in the order in which they would start. @param width of the screen; undefined: nothing is cut */
export const lines = ({ nodes }: RunPreview, width: number | undefined): ReadonlyArray<string> =>
  render(columns, nodes, width)
