/** `rudder-relay outbox`: files that wait for the policy server, or were refused by it. */
import { Effect, type Option } from "effect"
import { RelayClient } from "../client/RelayClient.ts"
import * as EntryName from "../shared-files/outbox/EntryName.ts"
import type { OutboxEntry } from "../shared-files/outbox/OutboxEntry.ts"
import * as Amount from "./Amount.ts"
import { asking } from "./Asking.ts"
import type { ClientOptions } from "./ClientOptions.ts"
import * as Listing from "./Listing.ts"
import { wrongCall } from "./StartError.ts"
import type { Column } from "./Table.ts"

/** What `outbox list` is told. */
export interface ListOptions extends ClientOptions {
  readonly limit: Option.Option<number>
  readonly json: boolean
}

const columns: ReadonlyArray<Column<OutboxEntry>> = [
  { title: "ID", cell: ({ id }) => id },
  { title: "STATE", cell: ({ state }) => state, least: 7 },
  { title: "SIZE", cell: ({ size }) => Amount.size(size), isNumber: true, least: 8 },
  { title: "AGE", cell: ({ age }) => Amount.seconds(age), isNumber: true, least: 8 },
  { title: "TRIES", cell: ({ attempts }) => String(attempts), isNumber: true, least: 5 },
  { title: "NEXT TRY", cell: ({ next_try }) => (next_try === null ? "" : Amount.date(next_try)), least: 20 },
  { title: "FILE", cell: ({ target, source, file_id }) => `${target}/${source}/${file_id}`, least: 8 },
  { title: "LAST ERROR", cell: ({ last_error }) => last_error ?? "", least: 10 }
]

/** Lists entries, newest first. */
export const list = (given: ListOptions) =>
  asking(
    given,
    Effect.gen(function* () {
      const { routes } = yield* RelayClient
      yield* Listing.list(given, {
        columns,
        nothing: "The outbox is empty.",
        ask: (most, before) =>
          Effect.map(routes.system.outbox({ urlParams: { limit: String(most), before } }), ({ data }) => ({
            items: data.entries,
            next: data.next
          })),
        document: ({ items, next }) => ({
          data: { entries: items, next },
          result: "success",
          action: "getOutbox"
        })
      })
    })
  )

/** Has all of them tried now. */
export const retry = (given: ClientOptions) =>
  asking(
    given,
    Effect.gen(function* () {
      const { routes } = yield* RelayClient
      const { data } = yield* routes.system.retryOutbox({})
      yield* Listing.printLines([
        data.entries === 1 ? "1 file is tried now" : `${data.entries} files are tried now`
      ])
    })
  )

/** An entry's id. It becomes a part of an address: one such as `..` would make it another route's. */
const idOf = (entry: string) =>
  EntryName.idPattern.test(entry)
    ? Effect.succeed(entry)
    : Effect.fail(
        wrongCall(
          `ENTRY is an entry's id, as outbox list shows it (16 and 32 hex digits, with - between), not ${JSON.stringify(entry.slice(0, 100))}`
        )
      )

/** Gives one of them up. */
export const remove = (given: ClientOptions & { readonly entry: string }) =>
  Effect.flatMap(idOf(given.entry), (id) =>
    asking(
      given,
      Effect.gen(function* () {
        const { routes } = yield* RelayClient
        const { data } = yield* routes.system.deleteOutboxEntry({ path: { id } })
        yield* Listing.printLines([`${data.id} is given up`])
      })
    )
  )
