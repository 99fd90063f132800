/** Everything that is wrong with a configuration, said at once. */
import { Data } from "effect"
import type { Settings } from "./Settings.ts"

/** One thing that is wrong with a configuration. */
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
  /** The settings without the keys that are wrong, where there is anything to read them from: more may be wrong with them. */
  readonly settings?: Settings
}> {
  /** One line for each problem. */
  override get message(): string {
    return this.problems.map(lineOf).join("\n")
  }
}
