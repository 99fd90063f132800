/** A command, called by `@effect/cli`: it reads what `CommandLine` has put in order. */
import { Command, ValidationError } from "@effect/cli"
import * as NodeTerminal from "@effect/platform-node/NodeTerminal"
import { Effect } from "effect"
import * as Version from "../system/Version.ts"
import { name, program } from "./Commands.ts"
import { exitCode, StartError } from "./StartError.ts"

const cli = Command.run(program, { name, version: Version.full })

/** `@effect/cli` has already said what is wrong. */
const said = <E>(error: E) =>
  ValidationError.isValidationError(error)
    ? new StartError({ code: exitCode.configuration, message: "" })
    : error

/** @param args a `Call` of `CommandLine` */
export const call = (args: ReadonlyArray<string>) =>
  cli([process.execPath, name, ...args]).pipe(Effect.mapError(said), Effect.provide(NodeTerminal.layer))
