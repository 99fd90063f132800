/** Why a command ends before it did its work, and the exit code that says so. */
import { Data } from "effect"

/** The program's exit codes. The last three are those of a shell for what a signal ended. */
export const exitCode = {
  normal: 0,
  crash: 1,
  /** Of `run`: not every node ended with code 0. */
  notAllWell: 1,
  /** Or the command line. */
  configuration: 2,
  start: 3,
  /** The relay could not be asked, or refused. */
  relay: 4,
  /** Ctrl-C. */
  interrupted: 130,
  /** SIGTERM. */
  terminated: 143,
  /** Who read the output has left. */
  brokenPipe: 141
} as const

/** A command ends before it did its work: `code` is its exit code, and `message`, unless it is empty, goes to stderr. */
export class StartError extends Data.TaggedError("StartError")<{
  readonly code: number
  readonly message: string
}> {}

/** What was said can't be done. Code 2. @param message without the program's name, which goes before it */
export const wrongCall = (message: string): StartError =>
  new StartError({ code: exitCode.configuration, message: `rudder-relay: ${message}` })
