/** `rudder-relay files`: the shared files that the relay keeps. */
import { Effect, Option } from "effect"
import { RelayClient } from "../client/RelayClient.ts"
import * as NodeId from "../NodeId.ts"
import * as FileId from "../shared-files/file/FileId.ts"
import type { StoredFile } from "../system/SystemApi.ts"
import * as Amount from "./Amount.ts"
import { asking } from "./Asking.ts"
import type { ClientOptions } from "./ClientOptions.ts"
import * as Listing from "./Listing.ts"
import { wrongCall } from "./StartError.ts"
import type { Column } from "./Table.ts"

/** What `files list` is told. */
export interface ListOptions extends ClientOptions {
  readonly target: Option.Option<string>
  readonly source: Option.Option<string>
  readonly limit: Option.Option<number>
  readonly json: boolean
}

/** A file as `files delete` takes it. */
const nameOf = ({ target, source, file_id }: StoredFile): string => `${target}/${source}/${file_id}`

const columns: ReadonlyArray<Column<StoredFile>> = [
  { title: "TARGET/SOURCE/FILE", cell: nameOf },
  { title: "SIZE", cell: ({ size }) => Amount.size(size), isNumber: true, least: 8 },
  {
    title: "EXPIRES",
    cell: ({ expires }) => (expires === null ? "never" : Amount.date(expires * 1000)),
    least: 20
  },
  { title: "DATE", cell: ({ date }) => (date === null ? "" : Amount.date(date)), least: 20 }
]

/** Lists files, in the order of their folders. */
export const list = (given: ListOptions) =>
  asking(
    given,
    Effect.gen(function* () {
      const { routes } = yield* RelayClient
      const target = Option.getOrUndefined(given.target)
      const source = Option.getOrUndefined(given.source)
      yield* Listing.list(given, {
        columns,
        nothing: "There are no such files.",
        ask: (most, after) =>
          Effect.map(
            routes.system.files({ urlParams: { limit: String(most), after, target, source } }),
            ({ files, next }) => ({ items: files, next })
          ),
        document: ({ items, next }) => ({ files: items, next })
      })
    })
  )

/** The parts of a file's name. They become parts of an address: one such as `..` would make it another route's. */
const partsOf = (name: string) => {
  const [target = "", source = "", file_id = "", ...others] = name.split("/")
  const isName =
    NodeId.pattern.test(target) &&
    NodeId.pattern.test(source) &&
    FileId.pattern.test(file_id) &&
    others.length === 0
  return isName
    ? Effect.succeed({ target, source, file_id })
    : Effect.fail(
        wrongCall(
          `expected TARGET/SOURCE/FILE, as files list shows it, each of letters, digits, '.', '_' and '-', not ${JSON.stringify(name.slice(0, 100))}`
        )
      )
}

/** Removes a file. */
export const remove = (given: ClientOptions & { readonly file: string }) =>
  Effect.flatMap(partsOf(given.file), (path) =>
    asking(
      given,
      Effect.gen(function* () {
        const { routes } = yield* RelayClient
        yield* routes.system.deleteFile({ path })
        yield* Listing.printLines([`${given.file} is deleted`])
      })
    )
  )
