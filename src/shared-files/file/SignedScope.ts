/** What a source may sign besides the content: for whom, under which name, for how long, and when. */
import { Option } from "effect"
import * as ContentHash from "../../disk/ContentHash.ts"
import * as DateTime from "../../http/DateTime.ts"
import type { SharedFileName } from "./FileId.ts"
import * as Ttl from "./Ttl.ts"

/** A signed scope as it came with a file, not yet checked. */
export interface ClaimedScope {
  /** As it was sent; RFC 3339. */
  readonly date: string
  /** The ttl as it was sent when this was signed. */
  readonly ttl: string
  readonly requestSignature: Uint8Array
}

/** The lines that are signed. */
export const signedText = (
  { target, source, fileId }: SharedFileName,
  { ttl, date }: Pick<ClaimedScope, "ttl" | "date">,
  hash: ContentHash.ContentHash
): string =>
  ["rudder-relay-2", target, source, fileId, ttl, date, ContentHash.print(hash)]
    .map((line) => `${line}\n`)
    .join("")

/** Milliseconds since 1970 of an RFC 3339 date; none for other text. */
export const parseDate = DateTime.parse

/** A source's clock may be this much ahead of ours. Milliseconds. */
export const maxAhead = 10 * 60 * 1000

/** When what was signed is over: its ttl, counted from its date. Milliseconds since 1970; none: never. */
export const end = ({ date, ttl }: Pick<ClaimedScope, "ttl" | "date">): Option.Option<number> =>
  Option.gen(function* () {
    const kept = yield* Ttl.parse(ttl)
    return kept._tag === "Seconds" ? (yield* parseDate(date)) + kept.seconds * 1000 : yield* Option.none()
  })
