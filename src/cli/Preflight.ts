/**
 * What would keep a relay with these settings from its work, found before it starts: by `serve`, which does not start then,
 * and by `check`, which looks for more. Nothing is made or changed that stays.
 */
import { dirname } from "node:path"
import { FileSystem, type Path } from "@effect/platform"
import { Effect, Option } from "effect"
import type { ConfigError } from "../config/ConfigError.ts"
import type { Keys } from "../config/Keys.ts"
import { type LoadedSettings, load } from "../config/RelayConfig.ts"
import type { Settings } from "../config/Settings.ts"
import * as Certificate from "./check/Certificate.ts"
import * as CommandFile from "./check/CommandFile.ts"
import { type Finding, type Findings, finding, lineOf, ofProblem, together, within } from "./check/Finding.ts"
import * as RelayFolder from "./check/RelayFolder.ts"
import { exitCode, StartError } from "./StartError.ts"

/** Of a file system that does not answer, such as one of a network. Seconds. */
const patience = 30

/** What is found with settings that could be read. */
const look = (keys: Keys, settings: Settings): Findings<FileSystem.FileSystem> =>
  together<FileSystem.FileSystem>([
    within(patience, "command", { message: "whether the commands are there" }, CommandFile.wrong(settings)),
    within(patience, "command", { message: "whether the commands are there" }, CommandFile.own(settings)),
    within(
      patience,
      "folder",
      { message: "whether the folders can be written" },
      RelayFolder.wrong(settings)
    ),
    within(patience, "certificate", { message: "what tls names" }, Certificate.ofTls(keys.tls)),
    within(patience, "certificate", { message: "what peers are known by" }, Certificate.ofPeers(settings))
  ])

/** Everything that is found with the configuration of a folder, and the settings as far as they can be read. */
export interface Examined {
  readonly findings: ReadonlyArray<Finding>
  /** None where a key is wrong. */
  readonly loaded: Option.Option<LoadedSettings>
  /** Without the keys that are wrong; none where nothing can be read. */
  readonly settings: Option.Option<Settings>
  /** Keys, and sections, that can't be read: of those the settings have but the defaults. */
  readonly unread: ReadonlyArray<string>
}

/** Without what is about keys that can't be read. */
export const withoutUnread = (
  found: ReadonlyArray<Finding>,
  unread: ReadonlyArray<string>
): ReadonlyArray<Finding> =>
  found.filter(({ key }) => !unread.some((one) => key === one || key?.startsWith(`${one}.`) === true))

const examineWrong = ({
  problems,
  rest,
  warnings
}: ConfigError): Effect.Effect<Examined, never, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const found = rest === undefined ? [] : yield* look(rest.keys, rest.settings)
    const unread = rest?.unread ?? []
    return {
      findings: [
        ...warnings.map((one) => ofProblem("warning", one)),
        ...problems.map((one) => ofProblem("configuration", one)),
        ...withoutUnread(found, unread)
      ],
      loaded: Option.none(),
      settings: Option.fromNullable(rest?.settings),
      unread
    }
  })

/** One of its files in the place of the folder. */
const examineFile = (file: string): Examined => ({
  findings: [
    finding("configuration", "configuration", {
      file,
      message: `${file} is a file; --config names the folder with main.conf and logging.conf: --config ${dirname(file)}`
    })
  ],
  loaded: Option.none(),
  settings: Option.none(),
  unread: []
})

const examineFolder = (
  directory: string
): Effect.Effect<Examined, never, FileSystem.FileSystem | Path.Path> =>
  Effect.matchEffect(load(directory, process.env), {
    onFailure: examineWrong,
    onSuccess: (loaded) =>
      Effect.map(look(loaded.keys, loaded.settings), (found) => ({
        findings: [...loaded.warnings.map((one) => ofProblem("warning", one)), ...found],
        loaded: Option.some(loaded),
        settings: Option.some(loaded.settings),
        unread: []
      }))
  })

/** Reads the configuration of a folder and looks at all that it names. */
export const examine = (
  directory: string
): Effect.Effect<Examined, never, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const isFile = yield* fs.stat(directory).pipe(
      Effect.map(({ type }) => type === "File"),
      Effect.orElseSucceed(() => false)
    )
    return isFile ? examineFile(directory) : yield* examineFolder(directory)
  })

/** What is worth a warning. */
export const warningsOf = (found: ReadonlyArray<Finding>): ReadonlyArray<Finding> =>
  found.filter(({ kind }) => kind === "warning" || kind === "work")

/** All that keeps a relay from starting, as one; none where nothing does. */
export const errorOf = (found: ReadonlyArray<Finding>): Option.Option<StartError> => {
  const errors = found.filter(({ kind }) => kind === "configuration" || kind === "start")
  if (errors.length === 0) return Option.none()
  const isConfiguration = errors.some(({ kind }) => kind === "configuration")
  return Option.some(
    new StartError({
      code: isConfiguration ? exitCode.configuration : exitCode.start,
      message: errors.map(lineOf).join("\n")
    })
  )
}
