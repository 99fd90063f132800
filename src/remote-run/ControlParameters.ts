/** The parameters by which a caller says how a run goes on, and who asks for it and why. */
import { Duration, Either, Option, Schema } from "effect"
import * as Values from "../config/Values.ts"
import * as Printable from "../Printable.ts"
import { type Decoded, invalid, oneOf, quoted } from "./Parameter.ts"
import type { RunControl, Share } from "./RunControl.ts"

/** Their names. */
export const names = [
  "batch",
  "batch_wait",
  "canary",
  "max_failures",
  "splay",
  "preview",
  "actor",
  "reason"
] as const

/** What they say. */
export interface ControlParameters {
  readonly control: RunControl
  /** Nothing is to be run: what would be, is the answer. */
  readonly preview: boolean
  readonly actor?: string
  readonly reason?: string
}

/** More digits are no number of nodes. */
const countForm = /^\d{1,9}$/
/** As exact as a share is: thousandths of a percent. */
const percentForm = /^(\d{1,3})(?:\.(\d{1,3}))?%$/

const parseShare = (text: string): Share | undefined => {
  if (countForm.test(text)) return { _tag: "Count", nodes: Number(text) }
  const found = percentForm.exec(text)
  if (found === null) return undefined
  const thousandths = Number(found[1]) * 1000 + Number((found[2] ?? "").padEnd(3, "0"))
  return thousandths > 100_000 ? undefined : { _tag: "Percent", thousandths }
}

const isNothing = (share: Share): boolean =>
  share._tag === "Count" ? share.nodes === 0 : share.thousandths === 0

const share = (
  name: string,
  value: string | undefined,
  least: "one" | "none"
): Decoded<Share | undefined> => {
  if (value === undefined) return Either.right(undefined)
  const found = parseShare(value)
  return found === undefined || (least === "one" && isNothing(found))
    ? Either.left(
        invalid(
          name,
          `expected a number of nodes such as 20, or a part of them such as 10%${least === "one" ? ", more than 0" : ""}, got ${quoted(value)}`
        )
      )
    : Either.right(found)
}

/** A run that waits longer between two batches is two runs; and a timer of the system has an end. */
const longest = Duration.days(7)
const decodeDuration = Schema.decodeOption(Values.Length)

const duration = (name: string, value: string | undefined): Decoded<Duration.Duration | undefined> => {
  if (value === undefined) return Either.right(undefined)
  return Option.match(
    Option.filter(decodeDuration(value), (found) => Duration.lessThanOrEqualTo(found, longest)),
    {
      onNone: () =>
        Either.left(
          invalid(name, `expected a duration of at most 7 days such as 30s or 5min, got ${quoted(value)}`)
        ),
      onSome: Either.right
    }
  )
}

/** Characters. */
const longestWords = 200

/** Empty is absent. */
const words = (name: string, value: string | undefined): Decoded<string | undefined> => {
  if (value === undefined || value === "") return Either.right(undefined)
  return [...value].length > longestWords || Printable.line(value) !== value
    ? Either.left(invalid(name, `expected at most ${longestWords} printable characters`))
    : Either.right(value)
}

/** Decodes them; `value` gives the text of a parameter, undefined where it is absent. */
export const decode = (value: (name: string) => string | undefined): Decoded<ControlParameters> =>
  Either.gen(function* () {
    const batch = yield* share("batch", value("batch"), "one")
    const batchWait = yield* duration("batch_wait", value("batch_wait"))
    const canary = yield* share("canary", value("canary"), "one")
    const maxFailures = yield* share("max_failures", value("max_failures"), "none")
    const splay = yield* duration("splay", value("splay"))
    const preview = yield* oneOf("preview", value("preview"), ["yes"])
    const actor = yield* words("actor", value("actor"))
    const reason = yield* words("reason", value("reason"))
    return {
      control: {
        ...(batch === undefined ? {} : { batch }),
        ...(batchWait === undefined ? {} : { batchWait }),
        ...(canary === undefined ? {} : { canary }),
        ...(maxFailures === undefined ? {} : { maxFailures }),
        ...(splay === undefined ? {} : { splay })
      },
      preview: preview === "yes",
      ...(actor === undefined ? {} : { actor }),
      ...(reason === undefined ? {} : { reason })
    }
  })
