/** What `run` is told of a run, checked as the relay checks it, before anything is asked. */
import { userInfo } from "node:os"
import { Effect, Either, Option } from "effect"
import type { NodeAmount, RunRequest } from "../../client/RunRequest.ts"
import type { InvalidRequest } from "../../RelayError.ts"
import * as ControlParameters from "../../remote-run/ControlParameters.ts"
import type { Share } from "../../remote-run/RunControl.ts"
import * as RunParameters from "../../remote-run/RunParameters.ts"
import * as Refused from "../Refused.ts"
import type { StartError } from "../StartError.ts"

/** The options, as they were said. */
export interface OrderOptions {
  readonly classes: Option.Option<string>
  readonly output: "keep" | "discard"
  readonly batch: Option.Option<string>
  readonly batchWait: Option.Option<string>
  readonly canary: Option.Option<string>
  readonly maxFailures: Option.Option<string>
  readonly splay: Option.Option<string>
  readonly actor: Option.Option<string>
  readonly reason: Option.Option<string>
}

/** A share as the relay is told it; it was read from such a text, to the thousandth of a percent. */
const amountOf = (share: Share): NodeAmount =>
  share._tag === "Count" ? share.nodes : `${share.thousandths / 1000}%`

/** Who asks, where that is not said: behind sudo, who called it. */
const user = (): string | undefined => {
  try {
    const name = process.env.SUDO_USER || userInfo().username
    const read = ControlParameters.decode((parameter) => (parameter === "actor" ? name : undefined))
    return Either.isRight(read) ? name : undefined
  } catch {
    // Of a user without an entry in the system's list there is no name.
    return undefined
  }
}

const decode = (options: OrderOptions): Either.Either<Omit<RunRequest, "nodes">, InvalidRequest> =>
  Either.gen(function* () {
    const classes = Option.isSome(options.classes)
      ? { classes: yield* RunParameters.decodeClasses(options.classes.value, "classes") }
      : {}
    const said = new Map([
      ["batch", options.batch],
      ["batch_wait", options.batchWait],
      ["canary", options.canary],
      ["max_failures", options.maxFailures],
      ["splay", options.splay],
      ["actor", Option.orElse(options.actor, () => Option.fromNullable(user()))],
      ["reason", options.reason]
    ])
    const { control, actor, reason } = yield* ControlParameters.decode((name) => {
      const option = said.get(name)
      return option === undefined ? undefined : Option.getOrUndefined(option)
    })
    const { batch, batchWait, canary, maxFailures, splay } = control
    return {
      output: options.output,
      ...classes,
      ...(batch === undefined ? {} : { batch: amountOf(batch) }),
      ...(batchWait === undefined ? {} : { batchWait }),
      ...(canary === undefined ? {} : { canary: amountOf(canary) }),
      ...(maxFailures === undefined ? {} : { maxFailures: amountOf(maxFailures) }),
      ...(splay === undefined ? {} : { splay }),
      ...(actor === undefined ? {} : { actor }),
      ...(reason === undefined ? {} : { reason })
    }
  })

/** The order without its nodes. Fails, with code 2, by the option's name. */
export const make = (options: OrderOptions): Effect.Effect<Omit<RunRequest, "nodes">, StartError> =>
  Effect.mapError(decode(options), Refused.option)
