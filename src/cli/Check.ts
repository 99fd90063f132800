/** `rudder-relay check`: everything that `serve` would read and need, and all that is wrong with it. */
import type { FileSystem } from "@effect/platform"
import { Console, Effect, Option } from "effect"
import type { Settings } from "../config/Settings.ts"
import { type Finding, type Findings, jsonOf, lineOf, together, within } from "./check/Finding.ts"
import * as FreeRoom from "./check/FreeRoom.ts"
import * as HostNames from "./check/HostNames.ts"
import * as ListenAddress from "./check/ListenAddress.ts"
import * as NodesFiles from "./check/NodesFiles.ts"
import * as RelayFolder from "./check/RelayFolder.ts"
import * as ServingRelay from "./check/ServingRelay.ts"
import * as SudoRules from "./check/SudoRules.ts"
import * as Surroundings from "./check/Surroundings.ts"
import { endOnHangup } from "./FirstMoment.ts"
import * as Preflight from "./Preflight.ts"
import { exitCode, StartError } from "./StartError.ts"

/** How a check is asked for. */
export interface CheckOptions {
  readonly directory: string
  /** The folder of a relay whose command line names none. */
  readonly usual: string
  /** One document on stdout instead of lines for people. */
  readonly json: boolean
}

/** Of a file system that does not answer, such as one of a network. Seconds. */
const patience = 30

/** The address after the folders: who has them is probably who has it. */
const served = (settings: Settings, { directory, usual }: CheckOptions): Findings =>
  Effect.gen(function* () {
    const serving = yield* ServingRelay.find(settings, directory, usual)
    return [...serving.found, ...(yield* ListenAddress.wrong(settings, serving))]
  })

/** What `serve` does not look at before it starts. */
const lookFurther = (settings: Settings, options: CheckOptions): Findings<FileSystem.FileSystem> =>
  together<FileSystem.FileSystem>([
    within(patience, "nodes-list", { message: "what the nodes list says" }, NodesFiles.wrong(settings)),
    SudoRules.wrong(settings),
    SudoRules.signals(settings),
    HostNames.wrong(settings),
    ...[
      FreeRoom.wrong(settings),
      RelayFolder.temporary(settings),
      Surroundings.asRoot(settings),
      Surroundings.sharedFolder(settings)
    ].map((found) => within(patience, "folder", { message: "the state of a folder" }, found)),
    served(settings, options)
  ])

const examine = (options: CheckOptions) =>
  Effect.gen(function* () {
    const examined = yield* Preflight.examine(options.directory)
    const further = yield* Option.match(examined.settings, {
      onNone: () => Effect.succeed([]),
      onSome: (settings) => lookFurther(settings, options)
    })
    return [...examined.findings, ...Preflight.withoutUnread(further, examined.unread)]
  })

const counted = (number: number, what: string): string => `${number} ${what}${number === 1 ? "" : "s"}`

/** For people: warnings, errors, and how many of them. */
const tell = (
  { directory }: CheckOptions,
  errors: ReadonlyArray<Finding>,
  warnings: ReadonlyArray<Finding>
) =>
  Effect.gen(function* () {
    for (const one of warnings) yield* Console.error(`warning: ${lineOf(one)}`)
    if (errors.length === 0) return yield* Console.log(`${directory}: the configuration is valid`)
    for (const one of errors) yield* Console.error(lineOf(one))
    yield* Console.error(
      `${directory}: ${counted(errors.length, "error")}, ${counted(warnings.length, "warning")}`
    )
  })

/** Says all that is wrong with the configuration of a folder, and with what it names. */
export const checkFolder = (options: CheckOptions) =>
  Effect.gen(function* () {
    yield* Effect.sync(endOnHangup)
    const all = yield* examine(options)
    const warnings = all.filter(({ kind }) => kind === "warning")
    const errors = all.filter(({ kind }) => kind !== "warning")
    yield* options.json
      ? Console.log(JSON.stringify({ errors: errors.map(jsonOf), warnings: warnings.map(jsonOf) }))
      : tell(options, errors, warnings)
    // What is wrong has been said.
    if (errors.length > 0) return yield* new StartError({ code: exitCode.configuration, message: "" })
  })
