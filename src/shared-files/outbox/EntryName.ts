/**
 * What the file of an outbox entry is called: all that it takes to find, order, count and schedule entries is in it, so
 * that none has to be opened for that. `<key>-<order>-<size>-<time>.<state>.entry`; without that end it is a folder, which
 * older relays made. Those take no file for one of their folders, and leave it alone.
 */
import { hash } from "node:crypto"
import { Option } from "effect"
import type { SharedFileName } from "../file/FileId.ts"

/** What the name says. */
export interface EntryName {
  /** Which file it is a version of. */
  readonly key: string
  /** Of two versions of a file, the one whose order is greater came later; that of another file by the clock alone. */
  readonly order: string
  /** Of the content. Bytes. */
  readonly size: number
  /** What waits is sent when it is time; what the policy server refused is not. */
  readonly state: "waiting" | "refused"
  /** When it is tried next, or is kept no longer. Milliseconds since 1970. */
  readonly time: number
  /** An older relay made it: it is a folder. */
  readonly isFolder?: true
}

/** What was asked for last: an upload asks for the key of the same name at each of its steps. */
let last: { readonly name: SharedFileName; readonly key: string } | undefined

/** A file's key: 32 hex digits of the hash of its name, under which its versions are found. */
export const keyOf = (name: SharedFileName): string => {
  if (last?.name === name) return last.key
  const { target, source, fileId } = name
  const key = hash("sha256", `${target}/${source}/${fileId}`, "hex").slice(0, 32)
  last = { name, key }
  return key
}

/** There are this many folders of entries: with 100,000 of them, about 25 in each. */
export const shardCount = 4096

/** The number that one of a key's hex digits is. */
const digit = (key: string, at: number): number => {
  const code = key.charCodeAt(at)
  return code - (code < 0x3a ? 0x30 : 0x57)
}

/** What so many digits of a key say, from one of them on. An upload asks ten times: to parse a part of the text takes longer. */
export const digits = (key: string, from: number, count: number): number => {
  let number = 0
  for (let at = from; at < from + count; at++) number = number * 16 + digit(key, at)
  return number
}

/** The folder that a file's versions are in: a number below `shardCount`. */
export const shardOf = (key: string): number => digits(key, 0, 3)

/** That folder's name. */
export const printShard = (shard: number): string => shard.toString(16).padStart(3, "0")

/** A shard by its folder's name; none for what is no such name. */
export const parseShard = (text: string): Option.Option<number> =>
  /^[0-9a-f]{3}$/.test(text) ? Option.some(Number.parseInt(text, 16)) : Option.none()

/** The name of the file, or of the folder. */
export const print = ({ key, order, size, time, state, isFolder }: EntryName): string =>
  `${key}-${order}-${size}-${time}.${state}${isFolder === true ? "" : ".entry"}`

const pattern = /^([0-9a-f]{32})-([0-9a-f]{16})-(\d{1,15})-(\d{1,15})\.(waiting|refused)(\.entry)?$/

/** What such a name says; none for what is no entry's name. */
export const parse = (text: string): Option.Option<EntryName> => {
  const [, key, order, size, time, state, form] = pattern.exec(text) ?? []
  return key === undefined || order === undefined
    ? Option.none()
    : Option.some({
        key,
        order,
        size: Number(size),
        time: Number(time),
        state: state === "refused" ? state : "waiting",
        ...(form === undefined ? { isFolder: true } : {})
      })
}

/** The name of the file beside an entry's that says what was tried: it stays the same while the entry's changes. */
export const printAttempts = (entry: Pick<EntryName, "order" | "key">): string => `${idOf(entry)}.attempts`

/** Of which entry such a file is, as far as it is finished or not: its id; undefined for what is no such name. */
export const parseAttempts = (text: string): string | undefined =>
  /^([0-9a-f]{16}-[0-9a-f]{32})\.attempts(?:\.new)?$/.exec(text)?.[1]

/** What an entry is called outside. Ids sort by the time of acceptance, and do not change. */
export const idOf = ({ order, key }: Pick<EntryName, "order" | "key">): string => `${order}-${key}`

/** The form of an id. */
export const idPattern = /^([0-9a-f]{16})-([0-9a-f]{32})$/

/** What an id says; none for what is no entry's id. */
export const parseId = (text: string): Option.Option<Pick<EntryName, "order" | "key">> => {
  const [, order, key] = idPattern.exec(text) ?? []
  return order === undefined || key === undefined ? Option.none() : Option.some({ order, key })
}

/** A version's order, from the time: the next one behind the latest version's, when the clock was stepped back. */
export const nextOrder = (now: number, latest: string | undefined): string => {
  const byClock = `${Math.max(0, Math.floor(now)).toString(16)}0000`.padStart(16, "0")
  if (latest === undefined || latest < byClock) return byClock
  return (BigInt(`0x${latest}`) + 1n).toString(16).padStart(16, "0")
}

/** When it was accepted: milliseconds since 1970. */
export const acceptedAt = ({ order }: Pick<EntryName, "order">): number =>
  Number.parseInt(order.slice(0, -4), 16)

/** A comparison for `sort`: newest first. */
export const byAge = (one: EntryName, other: EntryName): number => {
  const [a, b] = [idOf(one), idOf(other)]
  return a < b ? 1 : a > b ? -1 : 0
}

/** Those of one file, the oldest first. */
export const versionsOf = (entries: Iterable<EntryName>, key: string): ReadonlyArray<EntryName> => {
  const found: Array<EntryName> = []
  for (const entry of entries) if (entry.key === key) found.push(entry)
  return found.length > 1 ? found.sort(byAge) : found
}
