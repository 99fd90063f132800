/** What is written beside an entry's content, for the relay and for a person to read: `request` and `attempts`. */
import { Option } from "effect"
import * as DateTime from "../../http/DateTime.ts"
import * as NodeId from "../../NodeId.ts"
import * as FileId from "../file/FileId.ts"
import * as HeaderBlock from "../file/HeaderBlock.ts"
import * as Metadata from "../file/Metadata.ts"
import { parseDate } from "../file/SignedScope.ts"
import * as Ttl from "../file/Ttl.ts"

/** What was asked for when the file was accepted. */
export interface EntryRecord {
  readonly name: FileId.SharedFileName
  /** When the request began. Milliseconds since 1970, like the next. */
  readonly began: number
  readonly accepted: number
  readonly metadata: Metadata.Metadata
}

/** What has been tried. */
export interface Attempts {
  readonly count: number
  /** Milliseconds since 1970, of the last. */
  readonly at: number
  /** What became of the last. */
  readonly error: string
  /** The answer's, where the policy server refused. */
  readonly status: Option.Option<number>
}

// What their schemas say, in a tenth of the time.
const isNodeId = (text: string | undefined): text is NodeId.NodeId =>
  text !== undefined && NodeId.pattern.test(text)
const isFileId = (text: string | undefined): text is FileId.FileId =>
  text !== undefined && FileId.pattern.test(text)

/** The text of `request`. */
export const print = ({ name, began, accepted, metadata }: EntryRecord): string =>
  HeaderBlock.line("target", name.target) +
  HeaderBlock.line("source", name.source) +
  HeaderBlock.line("file_id", name.fileId) +
  HeaderBlock.line("began", DateTime.print(began)) +
  HeaderBlock.line("accepted", DateTime.print(accepted)) +
  Metadata.print(metadata)

/** What `request` says; none for what `print` did not make. */
export const parse = (text: string): Option.Option<EntryRecord> => {
  const block = Option.getOrUndefined(Option.getRight(HeaderBlock.parse(text)))
  if (block === undefined) return Option.none()
  const [target, source, fileId] = [block.get("target"), block.get("source"), block.get("file_id")]
  if (!isNodeId(target) || !isNodeId(source) || !isFileId(fileId)) return Option.none()
  const [beganAt, acceptedAt] = [block.get("began"), block.get("accepted")]
  const accepted = timeOf(acceptedAt)
  // Older entries don't say; and of most it is the same.
  const began = beganAt === undefined || beganAt === acceptedAt ? accepted : timeOf(beganAt)
  const metadata = Option.getOrUndefined(Metadata.ofBlock(block))
  return accepted === undefined || began === undefined || metadata === undefined
    ? Option.none()
    : Option.some({ name: { target, source, fileId }, began, accepted, metadata })
}

/** What `print` makes of a time, but of a 29th of February: each of these days is one, so nothing has to be compared. */
const usualTime =
  /^\d{4}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{3}Z$/

const timeOf = (text: string | undefined): number | undefined => {
  if (text === undefined) return undefined
  return usualTime.test(text) ? Date.parse(text) : Option.getOrUndefined(parseDate(text))
}

const oneLine = (text: string): string => text.replace(/\s+/g, " ").trim().slice(0, 500)

/** The text of `attempts`. */
export const printAttempts = ({ count, at, error, status }: Attempts): string =>
  HeaderBlock.print([
    ["attempts", String(count)],
    ["last_attempt", DateTime.print(at)],
    ["last_error", oneLine(error)],
    ...Option.match(status, {
      onNone: () => [],
      onSome: (given): ReadonlyArray<readonly [string, string]> => [["status", String(given)]]
    })
  ])

/** What `attempts` says; none for what `printAttempts` did not make, or a stop cut off. */
export const parseAttempts = (text: string): Option.Option<Attempts> =>
  Option.gen(function* () {
    const block = yield* Option.getRight(HeaderBlock.parse(text))
    const get = (key: string) => Option.fromNullable(block.get(key))
    const count = yield* Option.filter(get("attempts"), (digits) => /^\d{1,15}$/.test(digits))
    return {
      count: Number(count),
      at: yield* Option.flatMap(get("last_attempt"), parseDate),
      error: yield* get("last_error"),
      status: Option.map(
        Option.filter(get("status"), (digits) => /^\d{3}$/.test(digits)),
        Number
      )
    }
  })

/** No unit of older relays is longer, and they know no "for ever". */
const forever = "36500d"

/** The longest that the policy server takes a file for: what was signed, or what a ttl can say. Seconds. */
const longestTtl = ({ scope }: Metadata.Metadata): number => {
  const signed = Option.flatMap(scope, ({ ttl }) => Ttl.parse(ttl))
  return Option.isSome(signed) && signed.value._tag === "Seconds" ? signed.value.seconds : Ttl.longest
}

/** What is left of a file's ttl, as the policy server is told; none when it has passed. */
export const remainingTtl = (metadata: Metadata.Metadata, now: number): Option.Option<string> =>
  Option.match(metadata.expires, {
    onNone: () => Option.some(forever),
    onSome: (time) => {
      // Never more than was signed, which is why what is left of a second is given up; and a clock may be set back.
      const seconds = Math.min(Math.floor(time - now / 1000), longestTtl(metadata))
      return seconds >= 1 ? Option.some(Ttl.print({ _tag: "Seconds", seconds })) : Option.none()
    }
  })

/** The header block that the policy server gets: the eight keys, and what goes with the signature of the scope. */
export const header = (metadata: Metadata.Metadata): string => {
  const date = Option.isSome(metadata.scope) ? metadata.date : Option.none()
  return `${Metadata.print({ ...metadata, date, size: Option.none(), expires: Option.none() })}\n`
}
