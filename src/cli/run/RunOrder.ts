/** What `run` is told of a run, checked before anything is asked. */
import { userInfo } from "node:os"
import { Duration, Effect, Either, Option } from "effect"
import type { NodeAmount, RunRequest } from "../../client/RunRequest.ts"
import * as Durations from "../../config/Durations.ts"
import * as ClassName from "../../remote-run/ClassName.ts"
import { exitCode, StartError } from "../StartError.ts"

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

type Read<A> = Either.Either<A | undefined, string>

const read = <A>(
  name: string,
  given: Option.Option<string>,
  expected: string,
  parse: (text: string) => A | undefined
): Read<A> =>
  Option.match(given, {
    onNone: () => Either.right(undefined),
    onSome: (text) =>
      Either.fromNullable(parse(text), () => `--${name}: expected ${expected}, got ${JSON.stringify(text)}`)
  })

const isPercent = (text: string): text is `${number}%` => /^\d{1,3}(\.\d{1,3})?%$/.test(text)

const amount = (text: string): NodeAmount | undefined => {
  if (/^\d{1,9}$/.test(text)) return Number(text)
  return isPercent(text) ? text : undefined
}

const amountForm = "a number of nodes such as 20, or a part of them such as 10%"

const duration = (text: string): Duration.Duration | undefined =>
  /^\d{1,9}$/.test(text) ? Duration.seconds(Number(text)) : Option.getOrUndefined(Durations.parse(text))

const durationForm = "a duration such as 30s or 5min"

const classes = (text: string): ReadonlyArray<string> | undefined => {
  const names = text
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "")
  return names.every((name) => ClassName.pattern.test(name)) ? names : undefined
}

const words = (text: string): string | undefined =>
  [...text].length <= 200 && !/\p{Cc}/u.test(text) ? text : undefined

const wordsForm = "at most 200 printable characters"

/** Who asks, where that is not said: behind sudo, who called it. */
const user = (): string | undefined => {
  try {
    return words(process.env.SUDO_USER || userInfo().username)
  } catch {
    // Of a user without an entry in the system's list there is no name.
    return undefined
  }
}

const decode = (options: OrderOptions): Either.Either<Omit<RunRequest, "nodes">, string> =>
  Either.gen(function* () {
    const given = {
      classes: yield* read(
        "classes",
        options.classes,
        "a comma list of classes, each of letters, digits and '_', the first not '_'",
        classes
      ),
      batch: yield* read("batch", options.batch, amountForm, amount),
      batchWait: yield* read("batch-wait", options.batchWait, durationForm, duration),
      canary: yield* read("canary", options.canary, amountForm, amount),
      maxFailures: yield* read("max-failures", options.maxFailures, amountForm, amount),
      splay: yield* read("splay", options.splay, durationForm, duration),
      actor: Option.isNone(options.actor) ? user() : yield* read("actor", options.actor, wordsForm, words),
      reason: yield* read("reason", options.reason, wordsForm, words)
    }
    const { classes: names, batch, batchWait, canary, maxFailures, splay, actor, reason } = given
    return {
      output: options.output,
      ...(names === undefined ? {} : { classes: names }),
      ...(batch === undefined ? {} : { batch }),
      ...(batchWait === undefined ? {} : { batchWait }),
      ...(canary === undefined ? {} : { canary }),
      ...(maxFailures === undefined ? {} : { maxFailures }),
      ...(splay === undefined ? {} : { splay }),
      ...(actor === undefined ? {} : { actor }),
      ...(reason === undefined ? {} : { reason })
    }
  })

/** The order without its nodes. Fails, with code 2, by the option's name. */
export const make = (options: OrderOptions): Effect.Effect<Omit<RunRequest, "nodes">, StartError> =>
  Effect.mapError(
    decode(options),
    (message) => new StartError({ code: exitCode.configuration, message: `rudder-relay: ${message}` })
  )
