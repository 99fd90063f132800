/** The daemon's log: its format from the configuration, its level changeable while it runs. */
import { Context, Effect, FiberRef, HashMap, HashSet, Layer, Logger, LogLevel, Option } from "effect"
import type { LogLevelName, Settings } from "../config/Settings.ts"
import * as LogLine from "../LogLine.ts"
import * as LogText from "./LogText.ts"

const levels: Record<LogLevelName, LogLevel.LogLevel> = {
  trace: LogLevel.Trace,
  debug: LogLevel.Debug,
  info: LogLevel.Info,
  warn: LogLevel.Warning,
  error: LogLevel.Error,
  off: LogLevel.None
}

/** What can be changed of the log while it is written. */
export interface LoggingService {
  readonly setLevel: (level: LogLevelName) => Effect.Effect<void>
  /** Whether entries of this level are written now: what costs something to say need not be said in vain. */
  readonly isEnabled: (level: LogLevelName) => boolean
}

/** The daemon's log. */
export class Logging extends Context.Tag("rudder-relay/Logging")<Logging, LoggingService>() {
  /** Logs to stderr, so that stdout is the commands' own. */
  static readonly layer = (settings: Settings["log"], terminal: boolean): Layer.Layer<Logging> => {
    const current = { level: levels[settings.level] }
    const format = Option.getOrElse(settings.format, () => (terminal ? "pretty" : "logfmt"))
    const isWritten = (level: LogLevel.LogLevel) => LogLevel.greaterThanEqual(level, current.level)
    const { logger, hasRoom } = bounded(Logger.map(formats[format], gather))
    const filtered = Logger.map(Logger.filterLogLevel(logger, isWritten), () => undefined)
    const ours =
      format !== "logfmt"
        ? filtered
        : LogLine.takenBy(filtered, (line) => {
            if (!isWritten(line.level)) return true
            if (!hasRoom()) return false
            gather(LogText.logfmtOf(line))
            return true
          })
    return Layer.scoped(
      Logging,
      Effect.gen(function* () {
        // In one Layer: `Logger.replace` alone makes several.
        yield* Effect.locallyScopedWith(FiberRef.currentLoggers, (loggers) =>
          HashSet.add(HashSet.remove(loggers, Logger.defaultLogger), ours)
        )
        // Effect lets every entry through, so that the filter above decides, whose level can change.
        yield* Effect.locallyScoped(FiberRef.currentMinimumLogLevel, LogLevel.Trace)
        return {
          setLevel: (level) =>
            Effect.sync(() => {
              current.level = levels[level]
            }),
          isEnabled: (level) => LogLevel.greaterThanEqual(levels[level], current.level)
        }
      })
    )
  }
}

/** So much waits for a reader of the log that stands still; what comes then is left out. Bytes. */
const maxWaiting = 1024 * 1024

/** What was logged in this turn of the event loop. It is written in one piece, since each write waits for the system. */
let gathered = ""

const write = (): void => {
  const text = gathered
  gathered = ""
  process.off("exit", write)
  process.stderr.write(text)
}

/** A line that was logged is written whatever comes: also where the process ends meanwhile. */
const gather = (line: string): void => {
  if (gathered === "") {
    process.once("exit", write)
    setImmediate(() => {
      if (gathered !== "") write()
    })
  }
  gathered += `${line}\n`
}

interface Bounded {
  readonly logger: Logger.Logger<unknown, void>
  /** Whether the next line is written as it is: there is a reader for it, and nothing to be said of others. */
  readonly hasRoom: () => boolean
}

/** Leaves out what nobody takes, and says with the next line how much that was. */
const bounded = (logger: Logger.Logger<unknown, void>): Bounded => {
  let omitted = 0
  const isFull = () => process.stderr.writableLength + gathered.length > maxWaiting
  return {
    logger: Logger.make((entry) => {
      if (isFull()) {
        omitted++
        return
      }
      const annotations =
        omitted === 0 ? entry.annotations : HashMap.set(entry.annotations, "omitted_lines", omitted)
      omitted = 0
      logger.log({ ...entry, annotations })
    }),
    hasRoom: () => omitted === 0 && !isFull()
  }
}

/** Colours on a terminal, unless its user wants none. */
const colours = process.stderr.isTTY === true && !process.env.NO_COLOR

const formats: Record<"pretty" | "logfmt" | "json", Logger.Logger<unknown, string>> = {
  pretty: LogText.pretty(colours),
  logfmt: LogText.logfmt,
  json: LogText.json
}
