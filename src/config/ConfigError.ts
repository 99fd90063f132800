/** Everything that is wrong with a configuration, said at once. */
import { Data } from "effect"
import type { Keys } from "./Keys.ts"
import type { Settings } from "./Settings.ts"

/** One thing that is wrong with a configuration, or worth a warning. */
export interface ConfigProblem {
  /** The file, or the environment variable, that has the value. */
  readonly source: string
  /** The key, such as `remote_run.max_concurrent`; none where the whole file is meant. */
  readonly key: string | undefined
  /** What was expected, and what was found. */
  readonly message: string
}

/** A problem as it is told. */
export const lineOf = ({ source, key, message }: ConfigProblem): string =>
  `${source}: ${key === undefined ? "" : `${key}: `}${message}`

/** A configuration that can't be used, with everything that is wrong with it. */
export class ConfigError extends Data.TaggedError("ConfigError")<{
  readonly problems: ReadonlyArray<ConfigProblem>
  /** What is worth a warning besides. */
  readonly warnings: ReadonlyArray<ConfigProblem>
  /** What is there without the keys that are wrong, where there is anything to read it from: more may be wrong with it. */
  readonly rest?: {
    readonly keys: Keys
    readonly settings: Settings
    /** Keys, and sections, that have a value which can't be read: here they have their defaults. */
    readonly unread: ReadonlyArray<string>
  }
}> {
  /** One line for each problem. */
  override get message(): string {
    return this.problems.map(lineOf).join("\n")
  }
}
