/** Lists that a relay answers page by page: all of it, or as much as is asked for, as a table or as JSON. */
import { Effect, Option } from "effect"
import * as Printable from "../Printable.ts"
import * as Screen from "./Screen.ts"
import { type StartError, wrongCall } from "./StartError.ts"
import { type Column, render } from "./Table.ts"

/** The most that a relay answers at once. */
const largestPage = 1000

/** A part of a list. */
export interface Page<Item> {
  readonly items: ReadonlyArray<Item>
  /** What to ask for the next part by; null: there is none. */
  readonly next: string | null
}

/**
 * Asks for one page after the other.
 *
 * @param ask for at most so many, behind a place; undefined: from the start
 * @param limit how many are wanted; undefined: all
 */
export const pages = <Item, E, R>(
  ask: (limit: number, place: string | undefined) => Effect.Effect<Page<Item>, E, R>,
  limit?: number
): Effect.Effect<Page<Item>, E, R> =>
  Effect.gen(function* () {
    const items: Array<Item> = []
    let place: string | undefined
    for (;;) {
      const left = limit === undefined ? largestPage : Math.min(largestPage, limit - items.length)
      const page: Page<Item> = yield* ask(left, place)
      for (const item of page.items) items.push(item)
      if (page.next === null || (limit !== undefined && items.length >= limit))
        return { items, next: page.next }
      place = page.next
    }
  })

/** How many are wanted. Fails with code 2 where that is not at least one. */
export const limitOf = (given: Option.Option<number>): Effect.Effect<number | undefined, StartError> =>
  Option.exists(given, (limit) => limit < 1)
    ? Effect.fail(wrongCall(`--limit is a whole number from 1, not ${Option.getOrElse(given, () => 0)}`))
    : Effect.succeed(Option.getOrUndefined(given))

/** Prints lines on stdout. */
export const printLines = (lines: ReadonlyArray<string>): Effect.Effect<void, StartError> =>
  Screen.write(lines.map((line) => `${line}\n`).join(""))

/** Prints a document in one line. */
export const printJson = (value: unknown): Effect.Effect<void, StartError> =>
  Screen.write(`${Printable.json(JSON.stringify(value))}\n`)

/** The width of the terminal; undefined: it is none, and nothing has to fit. */
export const room = (): number | undefined => (Screen.stdout.isTerminal ? Screen.stdout.width() : undefined)

/** Prints a table; where there is nothing to show, a sentence says so on stderr. */
export const printTable = <Row>(
  columns: ReadonlyArray<Column<Row>>,
  rows: ReadonlyArray<Row>,
  nothing: string
): Effect.Effect<void, StartError> =>
  rows.length === 0 ? Screen.write(`${nothing}\n`, process.stderr) : printLines(render(columns, rows, room()))

/** Says on stderr that a list goes on. */
const printMore = ({ items, next }: Page<unknown>): Effect.Effect<void, StartError> =>
  next === null
    ? Effect.void
    : Screen.write(`There are more than these ${items.length}: --limit N shows N.\n`, process.stderr)

/** Prints what is known of one thing, a line each; what is empty is left out. */
export const printFacts = (
  facts: ReadonlyArray<readonly [name: string, value: string]>
): Effect.Effect<void, StartError> => {
  const known = facts.filter(([, value]) => value !== "")
  const widest = Math.max(0, ...known.map(([name]) => name.length))
  return printLines(known.map(([name, value]) => `${name.padEnd(widest)}  ${Printable.line(value)}`))
}

/** A list, and how it is shown. */
export interface Listed<Item, E, R> {
  readonly columns: ReadonlyArray<Column<Item>>
  /** What is said where there is none. */
  readonly nothing: string
  /** How many are listed where nobody says; undefined: all. */
  readonly usualLimit?: number
  readonly ask: Parameters<typeof pages<Item, E, R>>[0]
  /** As the relay answers a page of it. */
  readonly document: (page: Page<Item>) => unknown
}

/** Lists what a relay has: as a table, or as one document. */
export const list = <Item, E, R>(
  given: { readonly limit: Option.Option<number>; readonly json: boolean },
  { ask, columns, document, nothing, usualLimit }: Listed<Item, E, R>
): Effect.Effect<void, E | StartError, R> =>
  Effect.gen(function* () {
    const page = yield* pages(ask, (yield* limitOf(given.limit)) ?? usualLimit)
    if (given.json) return yield* printJson(document(page))
    yield* printTable(columns, page.items, nothing)
    yield* printMore(page)
  })
