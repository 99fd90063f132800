/** Everything that is wrong with a configuration, said at once. */
import { Data } from "effect"

export interface ConfigProblem {
  /** The file, or the environment variable, that has the value. */
  readonly source: string
  /** The key, such as `remote_run.max_concurrent`; none where the whole file is meant. */
  readonly key: string | undefined
  /** What was expected, and what was found. */
  readonly message: string
}

export class ConfigError extends Data.TaggedError("ConfigError")<{
  readonly problems: ReadonlyArray<ConfigProblem>
}> {
  /** One line for each problem. */
  override get message(): string {
    return this.problems
      .map(({ source, key, message }) => `${source}: ${key === undefined ? "" : `${key}: `}${message}`)
      .join("\n")
  }
}
