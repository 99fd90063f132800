/** A command that asks a relay, from its options to what it ends with. */
import { Effect, Queue } from "effect"
import type { RelayClient } from "../client/RelayClient.ts"
import * as EventLoop from "../EventLoop.ts"
import * as AskedRelay from "./AskedRelay.ts"
import type { ClientOptions } from "./ClientOptions.ts"
import { endOnHangup } from "./FirstMoment.ts"
import * as Interrupts from "./Interrupts.ts"
import * as RelayProblem from "./RelayProblem.ts"
import { exitCode, StartError } from "./StartError.ts"

/** Who is asked to end ends, with the code of a shell's for that. */
const untilInterrupted = <A, E, R>(command: Effect.Effect<A, E, R>): Effect.Effect<A, E | StartError, R> =>
  Effect.scoped(
    Effect.gen(function* () {
      // By then the program's own answer to signals is in place, and can be replaced.
      yield* EventLoop.turn
      const interrupts = yield* Interrupts.taken
      const ended = Effect.flatMap(
        Queue.take(interrupts),
        (signal) =>
          new StartError({
            code: signal === "SIGINT" ? exitCode.interrupted : exitCode.terminated,
            message: ""
          })
      )
      return yield* Effect.raceFirst(command, ended)
    })
  )

/** Does what a command does with the client of the relay that its options name. What the relay refuses ends it with code 4. */
export const asking = <A, E extends RelayProblem.RelayFailure | StartError, R>(
  options: ClientOptions,
  command: Effect.Effect<A, E, R>
): Effect.Effect<A, StartError, Exclude<R, RelayClient>> =>
  Effect.gen(function* () {
    yield* Effect.sync(endOnHangup)
    const url = yield* AskedRelay.urlOf(options)
    const ended = RelayProblem.of(url, AskedRelay.wordsOf(options))
    return yield* command.pipe(
      Effect.mapError((error: RelayProblem.RelayFailure | StartError) =>
        error instanceof StartError ? error : ended(error)
      ),
      Effect.provide(AskedRelay.layer(options)),
      untilInterrupted
    )
  })
