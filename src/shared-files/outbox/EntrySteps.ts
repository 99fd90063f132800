/** What the disk does, step by step, to make an entry of the outbox, and to note what was tried. */
import type { DiskStep } from "../../disk/Disk.ts"
import * as EntryRecord from "./EntryRecord.ts"

const folderMode = 0o700
const fileMode = 0o600

/** Where an entry is made, and where it goes. */
export interface EntryPlaces {
  /** The folder in which it is made. */
  readonly begun: string
  /** The folder that it is in the end. */
  readonly place: string
  /** The folder that has this. */
  readonly shard: string
  /** The folder that has that. */
  readonly entries: string
}

/**
 * Makes an entry, and moves it to its place when all of it is on the disk.
 *
 * @param held the content; undefined: that is on the disk already
 * @param isShardKnown the folder that it goes to is on the disk
 */
export const make = (
  { begun, place, shard, entries }: EntryPlaces,
  held: Uint8Array | undefined,
  record: EntryRecord.EntryRecord,
  isShardKnown: boolean
): ReadonlyArray<DiskStep> => {
  const file = { _tag: "Write", mode: fileMode, modified: record.accepted } as const
  const folder = (path: string): DiskStep => ({ _tag: "MakeFolder", path, mode: folderMode })
  return [
    ...(isShardKnown ? [] : [folder(shard)]),
    ...(held === undefined ? [] : [folder(begun), { ...file, path: `${begun}/content`, bytes: held }]),
    { ...file, path: `${begun}/request`, bytes: EntryRecord.print(record) },
    ...(isShardKnown ? [] : [{ _tag: "SyncFolder", path: entries } as const]),
    { _tag: "SyncFolder", path: begun },
    { _tag: "Rename", from: begun, to: place },
    { _tag: "SyncFolder", path: shard }
  ]
}

/** The same where some of these steps were done already. */
export const makeAnew = (
  places: EntryPlaces,
  held: Uint8Array | undefined,
  record: EntryRecord.EntryRecord
): ReadonlyArray<DiskStep> => {
  const made = held === undefined ? ["request"] : ["content", "request"]
  return [
    ...made.map((name): DiskStep => ({ _tag: "Discard", path: `${places.begun}/${name}` })),
    ...make(places, held, record, false)
  ]
}

/**
 * Notes in an entry's folder what was tried.
 *
 * @param synced on the disk afterwards, with this modification time: milliseconds since 1970; undefined: when the system likes
 */
export const note = (
  folder: string,
  attempts: EntryRecord.Attempts,
  synced: number | undefined
): ReadonlyArray<DiskStep> => {
  const path = `${folder}/attempts.new`
  return [
    { _tag: "Discard", path },
    { _tag: "Write", path, mode: fileMode, bytes: EntryRecord.printAttempts(attempts), modified: synced },
    { _tag: "Rename", from: path, to: `${folder}/attempts` },
    ...(synced === undefined ? [] : [{ _tag: "SyncFolder" as const, path: folder }])
  ]
}
