/** Why a process could not be started, or is not known of any more. */
import { Data } from "effect"

export class SpawnFailure extends Data.TaggedError("SpawnFailure")<{
  readonly message: string
  /** The system's name for it, such as `ENOENT`; undefined where it is not the system that says so. */
  readonly code: string | undefined
  /** What failed with it, such as `open` or `spawn sudo`. */
  readonly syscall: string | undefined
}> {}

const text = (cause: object, name: string): string | undefined => {
  const value: unknown = Object.getOwnPropertyDescriptor(cause, name)?.value
  return typeof value === "string" ? value : undefined
}

/** What node threw or emitted, as data. */
export const from = (cause: unknown): SpawnFailure =>
  cause instanceof Error
    ? new SpawnFailure({ message: cause.message, code: text(cause, "code"), syscall: text(cause, "syscall") })
    : new SpawnFailure({ message: String(cause), code: undefined, syscall: undefined })
