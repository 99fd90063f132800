/** `main.conf`, `logging.conf` and the environment, read into the one service that the relay's parts take settings from. */
import { FileSystem, Path } from "@effect/platform"
import { Context, Effect, Layer, Option, Schema } from "effect"
import { parse, TomlError } from "smol-toml"
import { NodeId } from "../NodeId.ts"
import { ConfigError, type ConfigProblem, lineOf } from "./ConfigError.ts"
import type { Keys } from "./Keys.ts"
import { type LogLevelName, type Remark, type Settings, settle } from "./Settings.ts"
import { type Environment, type Read, read } from "./Sources.ts"
import * as Values from "./Values.ts"

/** Settings, and what an administrator should know about them. */
export interface LoadedSettings {
  readonly settings: Settings
  /** The keys as they were read, by which a later reading is compared; the node's id is always among them. */
  readonly keys: Keys
  readonly warnings: ReadonlyArray<ConfigProblem>
}

/** The settings that the relay's parts use. */
export class RelayConfig extends Context.Tag("rudder-relay/RelayConfig")<RelayConfig, Settings>() {
  /** `main.conf` and `logging.conf` of a folder, with the environment over them; warnings are logged. */
  static readonly layer = (directory: string, environment: Environment = process.env) =>
    Layer.effect(
      RelayConfig,
      load(directory, environment).pipe(
        Effect.tap(({ warnings }) =>
          Effect.forEach(warnings, (warning) => Effect.logWarning(lineOf(warning)))
        ),
        Effect.map(({ settings }) => settings)
      )
    )
}

const problem = (source: string, message: string, key?: string): ConfigProblem => ({ source, key, message })

const parseToml = (file: string, text: string): Effect.Effect<Record<string, unknown>, ConfigProblem> =>
  Effect.try({
    try: () => parse(text),
    catch: (cause) =>
      cause instanceof TomlError
        ? problem(`${file}:${cause.line}:${cause.column}`, (cause.message.split("\n")[0] ?? "").trim())
        : problem(file, String(cause))
  })

const isMissing = (error: { readonly _tag: string; readonly reason?: string }) => error.reason === "NotFound"

interface LoggingConf {
  readonly level: LogLevelName
  readonly problems: ReadonlyArray<ConfigProblem>
  readonly warnings: ReadonlyArray<ConfigProblem>
}

const noLoggingConf: LoggingConf = { level: "info", problems: [], warnings: [] }

/** The file of Rudder's own relay: `level` is taken, and a warning says that `filter` is not. */
const LoggingKeys = Schema.Struct({
  general: Schema.optionalWith(
    Schema.Struct({ level: Schema.optional(Schema.Unknown), filter: Schema.optional(Schema.Unknown) }),
    { default: () => ({}) }
  ),
  /** In the files of older versions it is a section. */
  filter: Schema.optional(Schema.Unknown)
})

/** The log level of `logging.conf`, which Rudder's own relay keeps there; `info` without one. */
const loggingConf = (file: string): Effect.Effect<LoggingConf, never, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const text = yield* fs.readFileString(file).pipe(
      Effect.catchIf(isMissing, () => Effect.succeed("")),
      Effect.mapError((error) => problem(file, error.message))
    )
    const table = yield* parseToml(file, text)
    const { filter, general } = yield* Effect.mapError(Schema.decodeUnknown(LoggingKeys)(table), () =>
      problem(file, "expected a section", "general")
    )
    const level = yield* Effect.mapError(Schema.decodeUnknown(Values.LogLevel)(general.level ?? "info"), () =>
      problem(
        file,
        `expected "off", "error", "warn", "info", "debug" or "trace", got ${JSON.stringify(general.level)}`,
        "general.level"
      )
    )
    const filters = [
      ...(general.filter === undefined || general.filter === "" ? [] : ["general.filter"]),
      ...(filter === undefined ? [] : ["filter"])
    ]
    return {
      level,
      problems: [],
      warnings: filters.map((key) => problem(file, `${key} is ignored: this relay has one level for all`))
    }
  }).pipe(Effect.catchAll((found) => Effect.succeed({ ...noLoggingConf, problems: [found] })))

interface OwnId {
  readonly id: Option.Option<NodeId>
  readonly problems: ReadonlyArray<ConfigProblem>
}

/** What is in `general.node_id_file`, where `general.node_id` is not set. */
const idOfFile = ({ has, keys, sourceOf }: Read): Effect.Effect<OwnId, never, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const none: OwnId = { id: Option.none(), problems: [] }
    if (has("general.node_id")) return none
    const fs = yield* FileSystem.FileSystem
    const file = keys.general.nodeIdFile
    const text = yield* Effect.option(fs.readFileString(file))
    if (Option.isNone(text)) {
      const message = `expected a node id here, or in ${file}, which can't be read`
      return { ...none, problems: [problem(sourceOf("general.node_id"), message, "general.node_id")] }
    }
    const id = Schema.decodeOption(NodeId)(text.value.trim())
    if (Option.isSome(id)) return { ...none, id }
    const message = `expected a node id in ${file}`
    return { ...none, problems: [problem(sourceOf("general.node_id_file"), message, "general.node_id_file")] }
  })

const sectionOf = (key: string): string => key.slice(0, key.lastIndexOf(".") + 1)

/**
 * Remarks on keys as problems. Where another key of the same section can't be read, a remark may only follow from
 * that.
 */
const problemsOf = (found: Read, remarks: ReadonlyArray<Remark>): ReadonlyArray<ConfigProblem> =>
  remarks
    .filter(({ key }) => !found.problems.some((other) => other.key?.startsWith(sectionOf(key)) === true))
    .map(({ key, message }) => problem(found.sourceOf(key), message, key))

/**
 * Reads `main.conf` and `logging.conf` of a folder, with the environment over them. Fails with everything that is
 * wrong at once.
 */
export const load = (
  directory: string,
  environment: Environment
): Effect.Effect<LoadedSettings, ConfigError, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const file = path.join(directory, "main.conf")
    const logging = yield* loggingConf(path.join(directory, "logging.conf"))
    const failing = (one: ConfigProblem) =>
      new ConfigError({ problems: [one, ...logging.problems], warnings: logging.warnings })
    const text = yield* Effect.mapError(fs.readFileString(file), (error) =>
      failing(problem(file, isMissing(error) ? "no such file" : error.message))
    )
    const found = read(file, yield* Effect.mapError(parseToml(file, text), failing), environment)
    const ofFile = yield* idOfFile(found)
    const { settings, ...remarks } = settle(found.keys, { nodeId: ofFile.id, level: logging.level })
    const problems = [
      ...found.problems,
      ...ofFile.problems,
      ...problemsOf(found, remarks.problems),
      ...logging.problems
    ]
    const warnings = [
      ...found.warnings,
      ...logging.warnings,
      ...remarks.warnings.map(({ key, message }) => problem(found.sourceOf(key), message, key))
    ]
    if (problems.length > 0)
      return yield* new ConfigError({
        problems,
        warnings,
        rest: { keys: found.keys, settings, unread: found.problems.flatMap(({ key }) => key ?? []) }
      })
    const { nodeId } = settings.general
    return {
      settings,
      keys: { ...found.keys, general: { ...found.keys.general, nodeId: Option.some(nodeId) } },
      warnings
    }
  }).pipe(Effect.withSpan("RelayConfig.load", { attributes: { directory } }))
