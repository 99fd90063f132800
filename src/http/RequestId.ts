/** The id of a request: what its answer and the log's lines about it have in common. */
import { randomFillSync } from "node:crypto"
import { Context } from "effect"

/** The header that has it, in requests and in answers. */
export const header = "x-request-id"

/** What a caller's own id may be, so that it is one word wherever it is written. */
export const pattern = /^[A-Za-z0-9._-]{1,128}$/

/** The id of the request that is being answered; empty outside of one. */
export class RequestId extends Context.Reference<RequestId>()("rudder-relay/RequestId", {
  defaultValue: () => ""
}) {}

/** So many ids are made at once, as one text: the system's own function puts each together of pieces. */
const batch = 64
const length = 36
const random = new Uint8Array(batch * 16)
const letters = Buffer.alloc(batch * length)
const digits = Buffer.from("0123456789abcdef")
/** Before which of an id's bytes there is a `-`. */
const groups: ReadonlySet<number> = new Set([4, 6, 8, 10])

/** Ids as RFC 9562 has them, version 4. */
const makeAll = (): string => {
  randomFillSync(random)
  let to = 0
  for (let at = 0; at < random.length; at++) {
    const place = at % 16
    if (groups.has(place)) letters[to++] = 0x2d
    const byte = random[at] ?? 0
    const bits = place === 6 ? (byte & 0x0f) | 0x40 : place === 8 ? (byte & 0x3f) | 0x80 : byte
    letters[to++] = digits[bits >> 4] ?? 0
    letters[to++] = digits[bits & 0x0f] ?? 0
  }
  return letters.toString("latin1")
}

let ids = ""
let next = 0

const fresh = (): string => {
  if (next >= ids.length) {
    ids = makeAll()
    next = 0
  }
  const id = ids.slice(next, next + length)
  next += length
  return id
}

/** The caller's own id where it is sane, else a new one. */
export const of = (given: string | undefined): string =>
  given !== undefined && pattern.test(given) ? given : fresh()
