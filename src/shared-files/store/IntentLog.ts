/**
 * The records of intents, in a file of `~tmp` in which each that is under way has a place, which a later one writes over:
 * files that come and go cost a file system more than all that is written to them. Each record has a check with it, since
 * a stop may leave any part of what was written.
 */
import { randomUUID } from "node:crypto"
import { crc32 } from "node:zlib"
import { Effect } from "effect"
import type { DiskService, DiskStep } from "../../disk/Disk.ts"

/** Of a log's name. */
export const suffix = ".intents"

/** What a disk writes at once: a record that is written does nothing to the one in the next place. Bytes. */
const placeLength = 4096
/** A log can be read in one piece (`DiskService.readSmall`). */
const mostPlaces = 200

/** A record on its way to the disk. */
export interface Noted {
  readonly step: DiskStep
  /** The place may be used again. */
  readonly release: Effect.Effect<void>
}

/** The logs that a process writes: one, as a rule. */
export interface IntentLog {
  /** A place for a record of one line. */
  readonly note: (text: string) => Noted
  /** Uses another file from now on: what failed in this one may fail it for good. */
  readonly renew: () => void
  /** Whether this process writes the file of this name. */
  readonly isOwn: (name: string) => boolean
}

interface LogFile {
  readonly path: string
  readonly free: Array<number>
  places: number
  used: number
}

/** A check of a text that tells whether a stop has left all of it. */
export const checkOf = (text: string): number => crc32(text)

/** The records in a log, in any order, of which some are of intents that have ended. */
export const parse = (log: Buffer): ReadonlyArray<string> => {
  const found: Array<string> = []
  for (let at = 0; at < log.length; at += placeLength) {
    const [, check, text] =
      /^(\d{1,10}) (.+)\n/.exec(log.toString("utf8", at, log.indexOf("\n", at) + 1)) ?? []
    if (text !== undefined && Number(check) === checkOf(text)) found.push(text)
  }
  return found
}

/** Logs in a folder. One is there only while it is used: where uploads never cease it is never removed. */
export const make = (disk: DiskService, folder: string, mode: number): IntentLog => {
  const own = randomUUID()
  let files = 0
  // Another name each time: one that is being removed must not be written to again.
  const newFile = (): LogFile => ({
    path: `${folder}/${own}.${++files}${suffix}`,
    free: [],
    places: 0,
    used: 0
  })
  let current = newFile()
  const renew = () => {
    current = newFile()
  }

  /** One that is longer than a place has a file of its own. */
  const fileFor = (length: number): LogFile => {
    const isFull = current.free.length === 0 && current.places >= mostPlaces
    return length > placeLength || isFull ? newFile() : current
  }

  return {
    note: (text) => {
      const line = `${checkOf(text)} ${text}\n`
      const file = fileFor(Buffer.byteLength(line))
      const place = file.free.pop() ?? file.places++
      file.used++
      return {
        // A whole place: else the next one's record would give the file another end, and so write over this one's block.
        step: {
          _tag: "Note",
          path: file.path,
          mode,
          at: place * placeLength,
          bytes: line,
          length: placeLength
        },
        release: Effect.suspend(() => {
          file.used--
          file.free.push(place)
          if (file.used > 0) return Effect.void
          if (file === current) renew()
          return Effect.ignore(disk.remove(file.path))
        })
      }
    },
    renew,
    isOwn: (name) => name.startsWith(own)
  }
}
