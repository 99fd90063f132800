/**
 * What a command does, loaded when it is called: no command waits for the modules of the others, least of all for those of
 * the daemon. What it can be told (its options) is known from the start.
 */
import { Effect } from "effect"
import { exitCode, StartError } from "./StartError.ts"

/** What is said where a file of the program's is missing; undefined for any other error. */
export const missing = (cause: unknown): string | undefined =>
  // What is missing is a file of this program's: all else that it loads is node's own.
  cause instanceof Error && "code" in cause && cause.code === "ERR_MODULE_NOT_FOUND"
    ? `rudder-relay is not installed whole, and has to be installed again: ${cause.message}`
    : undefined

/**
 * A module of this program's.
 *
 * @param load `() => import("./Name.ts")`: the module's name has to stand there as it is, since the program is made of
 * files by it
 */
export const loaded = <Module>(load: () => Promise<Module>): Effect.Effect<Module, StartError> =>
  Effect.tryPromise({ try: load, catch: (cause) => cause }).pipe(
    Effect.catchAll((cause) => {
      const message = missing(cause)
      return message === undefined
        ? Effect.die(cause)
        : Effect.fail(new StartError({ code: exitCode.start, message }))
    })
  )
