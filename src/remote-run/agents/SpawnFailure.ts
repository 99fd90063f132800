/** Why a process could not be started, or what became of it is not known. */
import { Data } from "effect"

export class SpawnFailure extends Data.TaggedError("SpawnFailure")<{
  readonly message: string
  /** The system's name for it, such as `ENOENT`; undefined where it is not the system that says so. */
  readonly code: string | undefined
  /** What failed with it, such as `open` or `spawn sudo`. */
  readonly syscall: string | undefined
}> {}

/** The process that starts agents has ended: what it was asked for it may have done or not. */
export class SpawnerEnded extends Data.TaggedError("SpawnerEnded")<{ readonly message: string }> {}

/** The process did run, and is gone; how it ended is not known. */
export class ExitUnknown extends Data.TaggedError("ExitUnknown")<{ readonly message: string }> {}

const text = (cause: object, name: string): string | undefined => {
  const value: unknown = Object.getOwnPropertyDescriptor(cause, name)?.value
  return typeof value === "string" ? value : undefined
}

/** What node threw or emitted, as data. */
export const from = (cause: unknown): SpawnFailure =>
  cause instanceof Error
    ? new SpawnFailure({ message: cause.message, code: text(cause, "code"), syscall: text(cause, "syscall") })
    : new SpawnFailure({ message: String(cause), code: undefined, syscall: undefined })
