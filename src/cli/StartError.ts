/** Why a command ends before it did its work, and the exit code that says so. */
import { Data } from "effect"

/** The program's exit codes. */
export const exitCode = { normal: 0, crash: 1, configuration: 2, start: 3 } as const

/** A command ends before it did its work: `code` is its exit code, and `message`, unless it is empty, goes to stderr. */
export class StartError extends Data.TaggedError("StartError")<{
  readonly code: number
  readonly message: string
}> {}
