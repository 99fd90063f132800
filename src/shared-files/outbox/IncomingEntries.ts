/** Contents on their way into the outbox, as far as there may be files of them already. */
import { Effect } from "effect"
import type { DiskError, DiskFile } from "../../disk/Disk.ts"
import type { Incoming } from "../../disk/Incoming.ts"
import type { EntryRecord } from "./EntryRecord.ts"
import type { EntryBytes } from "./EntrySteps.ts"
import * as EntryTail from "./EntryTail.ts"

/** A file that has a content, as far as that came. */
interface Begun {
  file: DiskFile | undefined
  /** `EntryTail.check` of what was written. */
  check: number
}

/** By the names of the files. */
export type IncomingEntries = Map<string, Begun>

/** A file is made for a content, which goes there from now on. */
export const begin = (
  entries: IncomingEntries,
  name: string,
  create: Effect.Effect<DiskFile, DiskError>
): Effect.Effect<DiskFile, DiskError> =>
  Effect.suspend(() => {
    const begun: Begun = { file: undefined, check: 0 }
    entries.set(name, begun)
    return Effect.map(create, (file) => {
      begun.file = file
      return { ...file, write: (bytes) => append(begun, file, bytes) }
    })
  })

/** The bytes may be overwritten once they are written: their check is taken before. */
const append = (begun: Begun, file: DiskFile, bytes: Uint8Array) =>
  Effect.suspend(() => {
    begun.check = EntryTail.check(bytes, begun.check)
    return file.write(bytes)
  })

/**
 * Gives what is to be written of an entry, which makes its file; undefined: there is one, and it is on the disk now, with
 * its tail.
 *
 * @param size of the content: bytes
 */
export const complete = (
  entries: IncomingEntries,
  incoming: Incoming,
  record: EntryRecord,
  size: number
): Effect.Effect<EntryBytes | undefined, DiskError> => {
  const { file, check } = entries.get(incoming.name) ?? { file: undefined, check: 0 }
  if (file !== undefined)
    return Effect.as(
      Effect.andThen(file.write(EntryTail.print(record, size, check)), incoming.sync(record.accepted)),
      undefined
    )
  // What there is no file of is in memory.
  const content = incoming.held() ?? nothing
  entries.set(incoming.name, { file, check })
  return Effect.succeed({ bytes: EntryTail.append(content, record), modified: record.accepted })
}

const nothing = new Uint8Array(0)
