/** How one key of the configuration is read: from a TOML value, or from the text of an environment variable. */

import { isIP } from "node:net"
import { Duration, Option, Schema } from "effect"
import { NodeId } from "../NodeId.ts"
import * as Durations from "./Durations.ts"
import * as Sizes from "./Sizes.ts"

export interface Decoder<A> {
  /** Completes "expected …". */
  readonly expected: string
  readonly toml: (value: unknown) => Option.Option<A>
  readonly text: (text: string) => Option.Option<A>
}

const fromText = <A>(expected: string, text: (text: string) => Option.Option<A>): Decoder<A> => ({
  expected,
  text,
  toml: (value) => (typeof value === "string" ? text(value) : Option.none())
})

export const string: Decoder<string> = fromText(
  "a text that is not empty",
  Option.liftPredicate((text) => text !== "")
)

export const path: Decoder<string> = fromText(
  "a path",
  Option.liftPredicate((text) => text !== "" && !text.includes("\0"))
)

export const boolean: Decoder<boolean> = {
  expected: "true or false",
  toml: (value) => (typeof value === "boolean" ? Option.some(value) : Option.none()),
  text: (text) =>
    text === "true" ? Option.some(true) : text === "false" ? Option.some(false) : Option.none()
}

export const integer = (from: number, to: number): Decoder<number> => {
  const inRange = (value: number) => Number.isInteger(value) && value >= from && value <= to
  return {
    expected: `a whole number from ${from} to ${to}`,
    toml: (value) => (typeof value === "number" && inRange(value) ? Option.some(value) : Option.none()),
    text: (text) => (/^\d+$/.test(text) && inRange(Number(text)) ? Option.some(Number(text)) : Option.none())
  }
}

/** A number alone is seconds. */
export const duration: Decoder<Duration.Duration> = {
  expected: 'a duration such as "10s", "5min" or "1h 30m", or a number of seconds',
  toml: (value) =>
    typeof value === "number" && value >= 0 && Number.isFinite(value)
      ? Option.some(Duration.seconds(value))
      : typeof value === "string"
        ? duration.text(value)
        : Option.none(),
  text: (text) =>
    /^\d+(\.\d+)?$/.test(text) ? Option.some(Duration.seconds(Number(text))) : Durations.parse(text)
}

/** A duration that is not nothing. */
export const period: Decoder<Duration.Duration> = {
  expected: `${duration.expected}, longer than 0`,
  toml: (value) => Option.filter(duration.toml(value), (length) => Duration.toMillis(length) > 0),
  text: (text) => Option.filter(duration.text(text), (length) => Duration.toMillis(length) > 0)
}

/** A number alone is bytes. */
export const size: Decoder<number> = {
  expected: 'a size such as "50MiB", or a number of bytes',
  toml: (value) =>
    typeof value === "number" && Number.isSafeInteger(value) && value >= 0
      ? Option.some(value)
      : typeof value === "string"
        ? Sizes.parse(value)
        : Option.none(),
  text: Sizes.parse
}

export const oneOf = <const A extends string>(...choices: ReadonlyArray<A>): Decoder<A> =>
  fromText(choices.map((choice) => `"${choice}"`).join(" or "), (text) =>
    Option.fromNullable(choices.find((choice) => choice === text))
  )

export const nodeId: Decoder<NodeId> = fromText("a node id", Schema.decodeOption(NodeId))

export interface Listen {
  readonly host: string
  readonly port: number
}

export const listen: Decoder<Listen> = fromText('an address and a port such as "127.0.0.1:3030"', (text) => {
  const found = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text)
  const host = found?.[1] ?? found?.[2]
  const port = Number(found?.[3])
  if (host === undefined || port > 65_535 || (found?.[1] !== undefined && isIP(host) !== 6))
    return Option.none()
  return Option.some({ host, port })
})

const hostName = /^[A-Za-z0-9]([A-Za-z0-9._-]{0,252})$/

export const host: Decoder<string> = fromText(
  "a host name or address",
  Option.liftPredicate((text) => isIP(text) !== 0 || hostName.test(text))
)

export const httpUrl: Decoder<URL> = fromText("an http or https URL", (text) => {
  const url = URL.canParse(text) ? new URL(text) : undefined
  return url !== undefined && /^https?:$/.test(url.protocol) && url.hostname !== ""
    ? Option.some(url)
    : Option.none()
})

/** A list of what `item` reads; in an environment variable, separated by commas. */
export const list = <A>(item: Decoder<A>): Decoder<ReadonlyArray<A>> => ({
  expected: `a list of which each is ${item.expected}`,
  toml: (value) => (Array.isArray(value) ? Option.all(value.map(item.toml)) : Option.none()),
  text: (text) =>
    Option.all(
      text
        .split(",")
        .map((part) => part.trim())
        .filter((part) => part !== "")
        .map(item.text)
    )
})

const isCidr = (text: string): boolean => {
  const [address = "", bits = "", ...more] = text.split("/")
  const family = isIP(address)
  return (
    more.length === 0 && family !== 0 && /^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128)
  )
}

/** What may call: a CIDR, an address or a host name. */
export const accessEntry: Decoder<string> = fromText(
  "an address, a CIDR or a host name",
  Option.liftPredicate(
    (text) => isIP(text) !== 0 || isCidr(text) || (hostName.test(text) && !/^[0-9.]+$/.test(text))
  )
)

/** Of a client's public key. */
export const keyHash: Decoder<string> = fromText(
  '"sha256//BASE64"',
  Option.liftPredicate((text) => /^sha256\/\/[A-Za-z0-9+/]{43}=$/.test(text))
)
