/** What the disk does, step by step, to make an entry of the outbox, and to note what was tried. */
import type { DiskStep } from "../../disk/Disk.ts"
import * as EntryRecord from "./EntryRecord.ts"

const folderMode = 0o700
const fileMode = 0o600

/** Where an entry is made, and where it goes. */
export interface EntryPlaces {
  /** The file that it is while it is made. */
  readonly begun: string
  /** The file that it is in the end. */
  readonly place: string
  /** The folder that has this. */
  readonly shard: string
  /** The folder that has that. */
  readonly entries: string
}

/** All of an entry's file, and the modification time that it gets: milliseconds since 1970. */
export interface EntryBytes {
  readonly bytes: Uint8Array
  readonly modified: number
}

/**
 * Makes an entry, and moves it to its place when all of it is on the disk.
 *
 * @param all undefined: it is on the disk already
 * @param isShardKnown the folder that it goes to is on the disk
 */
export const make = (
  { begun, place, shard, entries }: EntryPlaces,
  all: EntryBytes | undefined,
  isShardKnown: boolean
): ReadonlyArray<DiskStep> => {
  const steps: Array<DiskStep> = []
  if (!isShardKnown) steps.push({ _tag: "MakeFolder", path: shard, mode: folderMode })
  if (all !== undefined)
    steps.push({ _tag: "Write", path: begun, mode: fileMode, bytes: all.bytes, modified: all.modified })
  if (!isShardKnown) steps.push({ _tag: "SyncFolder", path: entries })
  steps.push({ _tag: "Rename", from: begun, to: place }, { _tag: "SyncFolder", path: shard })
  return steps
}

/** The same where some of these steps were done already. */
export const makeAnew = (places: EntryPlaces, all: EntryBytes | undefined): ReadonlyArray<DiskStep> => [
  ...(all === undefined ? [] : [{ _tag: "Discard", path: places.begun } as const]),
  ...make(places, all, false)
]

/** The file of a note of attempts while it is made. */
export const begunNote = (path: string): string => `${path}.new`

/**
 * Notes what was tried.
 *
 * @param path where that is to stand, in this folder
 * @param attempts undefined: there is nothing to note
 * @param synced on the disk afterwards, with this modification time: milliseconds since 1970; undefined: when the system likes
 */
export const note = (
  path: string,
  folder: string,
  attempts: EntryRecord.Attempts | undefined,
  synced: number | undefined
): ReadonlyArray<DiskStep> => {
  if (attempts === undefined) return []
  const begun = begunNote(path)
  return [
    { _tag: "Discard", path: begun },
    {
      _tag: "Write",
      path: begun,
      mode: fileMode,
      bytes: EntryRecord.printAttempts(attempts),
      modified: synced
    },
    { _tag: "Rename", from: begun, to: path },
    ...(synced === undefined ? [] : [{ _tag: "SyncFolder" as const, path: folder }])
  ]
}
