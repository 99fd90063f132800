/** Tables, for a terminal of some width, or for a pipe, where nothing is cut. */
import * as Printable from "../Printable.ts"
import * as TextWidth from "./TextWidth.ts"

/** A column of a table whose rows are made of values of this type. */
export interface Column<Row> {
  readonly title: string
  /** Empty: nothing to say; a table shows `-`, so that programs can tell columns apart by spaces. */
  readonly cell: (row: Row) => string
  /** Numbers stand at the right. */
  readonly isNumber?: true
  /**
   * It may be cut to so many columns where the terminal is too narrow, and left out where that does not do. Those at the
   * right give way first. Absent: it is always there as it is, so that it can be copied.
   */
  readonly least?: number
}

const gap = "  "

const total = (widths: ReadonlyArray<number>): number =>
  widths.reduce((sum, width) => sum + width, 0) + gap.length * Math.max(0, widths.length - 1)

interface Laid<Row> {
  readonly column: Column<Row>
  readonly width: number
}

/** Makes columns narrower, from the right, until the table fits. */
const narrowed = <Row>(columns: ReadonlyArray<Laid<Row>>, room: number): ReadonlyArray<Laid<Row>> => {
  let excess = total(columns.map(({ width }) => width)) - room
  return columns
    .toReversed()
    .map(({ column, width }) => {
      const least = column.least ?? width
      const given = Math.max(0, Math.min(excess, width - least))
      excess -= given
      return { column, width: width - given }
    })
    .toReversed()
}

/** Leaves columns out, from the right, until those that stay fit at their least. */
const fewer = <Row>(columns: ReadonlyArray<Laid<Row>>, room: number): ReadonlyArray<Laid<Row>> => {
  const least = total(columns.map(({ column, width }) => Math.min(width, column.least ?? width)))
  const last = columns.findLastIndex(({ column }) => column.least !== undefined)
  return least <= room || last < 0 ? columns : fewer(columns.toSpliced(last, 1), room)
}

const line = <Row>(columns: ReadonlyArray<Laid<Row>>, cells: ReadonlyArray<string>): string =>
  columns
    .map(({ column, width }, at) => {
      const text = TextWidth.cut(cells[at] ?? "", Math.max(1, width))
      return column.isNumber === true ? TextWidth.padStart(text, width) : TextWidth.pad(text, width)
    })
    .join(gap)
    .trimEnd()

/**
 * The lines of a table, its titles first. What others wrote is made printable.
 *
 * @param width of the terminal, in columns; absent: everything is shown whole
 */
export const render = <Row>(
  columns: ReadonlyArray<Column<Row>>,
  rows: ReadonlyArray<Row>,
  width: number | undefined
): ReadonlyArray<string> => {
  const text = (column: Column<Row>, row: Row) => Printable.line(column.cell(row)) || "-"
  const natural = columns.map((column) => {
    let widest = TextWidth.of(column.title)
    for (const row of rows) widest = Math.max(widest, TextWidth.of(text(column, row)))
    return { column, width: widest }
  })
  const laid = width === undefined ? natural : narrowed(fewer(natural, width), width)
  return [
    line(
      laid,
      laid.map(({ column }) => column.title)
    ),
    ...rows.map((row) =>
      line(
        laid,
        laid.map(({ column }) => text(column, row))
      )
    )
  ]
}
