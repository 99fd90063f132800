/** `rudder-relay status`: how the relay is. */
import { Effect } from "effect"
import { RelayClient } from "../client/RelayClient.ts"
import * as Printable from "../Printable.ts"
import type { Status } from "../system/SystemApi.ts"
import * as Amount from "./Amount.ts"
import { asking } from "./Asking.ts"
import type { ClientOptions } from "./ClientOptions.ts"
import * as Listing from "./Listing.ts"
import { exitCode, StartError } from "./StartError.ts"
import * as TextWidth from "./TextWidth.ts"

/** A part of the relay, as it is shown. */
interface Part {
  readonly name: string
  readonly isWell: boolean
  /** What is known of it: figures, and details, each a sentence of its own. */
  readonly facts: ReadonlyArray<string>
}

/** A figure with its name: `3 waiting`, `1.2 MiB`, `loaded: 2026-01-05T09:00:00Z`. What is not known has none. */
const figure = (name: string, value: unknown): ReadonlyArray<string> => {
  const words = name.replaceAll("_", " ")
  if (value === null) return []
  if (typeof value !== "number")
    return [`${words}: ${typeof value === "string" ? value : JSON.stringify(value)}`]
  return [name === "bytes" ? Amount.size(value) : `${value} ${words}`]
}

/** The room in the folders that the relay writes to. */
const rooms = (folders: Status["storage"]["folders"]): ReadonlyArray<string> =>
  folders.map(({ folder, free }) => `${folder}: ${Amount.size(free)} free`)

/** The parts of a status, whatever figures each has. */
export const parts = ({ storage: { folders, ...storage }, ...others }: Status): ReadonlyArray<Part> =>
  Object.entries({ ...others, storage }).map(([name, { status, details, ...figures }]) => ({
    name,
    isWell: status === "success",
    facts: [
      ...Object.entries(figures).flatMap(([figureName, value]) => figure(figureName, value)),
      ...(name === "storage" ? rooms(folders) : []),
      ...(details === undefined ? [] : [details])
    ]
  }))

/** A line a part, with what is not well told in full: on a terminal over several lines. */
export const render = (all: ReadonlyArray<Part>, width: number | undefined): ReadonlyArray<string> => {
  const column = Math.max(0, ...all.map(({ name }) => name.length)) + 2
  const left = " ".repeat(column + "error".length + 2)
  return all.flatMap(({ name, isWell, facts }) => {
    const text = Printable.line(facts.join("; "))
    const room = width === undefined ? Number.POSITIVE_INFINITY : Math.max(20, width - left.length)
    const [first = "", ...others] = TextWidth.wrap(text, room)
    const head = name.padEnd(column) + (isWell ? "ok" : "error").padEnd("error".length + 2)
    return [(head + first).trimEnd(), ...others.map((line) => left + line)]
  })
}

/** Shows how the relay is; ends with code 1 where a part of it is not well. */
export const status = (given: ClientOptions & { readonly json: boolean }) =>
  asking(
    given,
    Effect.gen(function* () {
      const { routes } = yield* RelayClient
      const answer = yield* routes.system.status({})
      const all = parts(answer.data)
      yield* given.json ? Listing.printJson(answer) : Listing.printLines(render(all, Listing.room()))
      if (!all.every(({ isWell }) => isWell))
        return yield* new StartError({ code: exitCode.notAllWell, message: "" })
    })
  )
