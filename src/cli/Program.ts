/** The command line: what it can say, and how it ends. */
import { Command, ValidationError } from "@effect/cli"
import type { Teardown } from "@effect/platform/Runtime"
import { NodeContext } from "@effect/platform-node"
import { Cause, Console, Effect, Exit, Layer, Option } from "effect"
import * as RegularFiles from "../disk/RegularFiles.ts"
import * as Version from "../system/Version.ts"
import { check } from "./Check.ts"
import { sandbox } from "./Sandbox.ts"
import { serve } from "./Serve.ts"
import { exitCode, StartError } from "./StartError.ts"

const command = Command.make("rudder-relay").pipe(
  Command.withDescription(
    "The relay of a Rudder fleet: remote runs down the tree, signed shared files up and across."
  ),
  Command.withSubcommands([serve, check, sandbox])
)

const cli = Command.run(command, { name: "rudder-relay", version: Version.full })

/** Says on stderr why the program ends; a message for what can happen, the whole cause for what should not. */
const report = (cause: Cause.Cause<unknown>): Effect.Effect<void> =>
  Option.match(Cause.failureOption(cause), {
    onNone: () => (Cause.isInterruptedOnly(cause) ? Effect.void : Console.error(Cause.pretty(cause))),
    onSome: (error) => {
      // The command line has already said what is wrong with it.
      if (ValidationError.isValidationError(error)) return Effect.void
      return Console.error(error instanceof StartError ? error.message : Cause.pretty(cause))
    }
  })

export const program = (argv: ReadonlyArray<string>): Effect.Effect<void, unknown> =>
  cli(argv).pipe(
    Effect.tapErrorCause(report),
    Effect.provide(Layer.provideMerge(RegularFiles.layer, NodeContext.layer))
  )

/** Exit codes: 0 normal, 1 crash, 2 invalid configuration, 3 any other start error (a wrong command line too). */
export const teardown: Teardown = (exit, onExit) => {
  if (Exit.isSuccess(exit) || Cause.isInterruptedOnly(exit.cause)) return onExit(exitCode.normal)
  const error = Option.getOrUndefined(Cause.failureOption(exit.cause))
  if (error instanceof StartError) return onExit(error.code)
  onExit(ValidationError.isValidationError(error) ? exitCode.start : exitCode.crash)
}
