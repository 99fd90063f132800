/** The entries of an outbox as an older relay would have left them. */
import { Effect, Option } from "effect"
import type { DiskError, DiskService, DiskStep } from "../../src/disk/Disk.ts"
import * as EntryName from "../../src/shared-files/outbox/EntryName.ts"
import * as EntryTail from "../../src/shared-files/outbox/EntryTail.ts"

/** Makes a folder of each entry that is a file: with its `content`, the `request` and, once it was tried, `attempts`. */
export const makeOlder = (disk: DiskService, root: string): Effect.Effect<void, DiskError> =>
  Effect.gen(function* () {
    for (const { name: shard } of yield* disk.list(`${root}/entries`)) {
      const folder = `${root}/entries/${shard}`
      for (const name of yield* disk.names(folder)) {
        const entry = Option.getOrUndefined(EntryName.parse(name))
        if (entry === undefined || entry.isFolder === true) continue
        const whole = (yield* disk.readSmall(`${folder}/${name}`)) ?? Buffer.alloc(0)
        const tail = EntryTail.parse({ bytes: whole, length: whole.length }, entry.size)
        if (tail === undefined) throw new Error(`${name} is not whole`)
        const attempts = `${folder}/${EntryName.printAttempts(entry)}`
        const tried = yield* disk.readText(attempts)
        const older = `${folder}/${EntryName.print({ ...entry, isFolder: true })}`
        const file = (name: string, bytes: Uint8Array | string): DiskStep => {
          return { _tag: "Write", path: `${older}/${name}`, mode: 0o600, bytes, modified: 0 }
        }
        yield* disk.sequence([
          { _tag: "MakeFolder", path: older, mode: 0o700 },
          file("content", whole.subarray(0, entry.size)),
          file("request", Buffer.from(tail.request).toString().trimStart()),
          ...(tried === undefined ? [] : [file("attempts", tried)]),
          { _tag: "SyncFolder", path: older },
          { _tag: "Remove", path: `${folder}/${name}` },
          { _tag: "Remove", path: attempts },
          { _tag: "SyncFolder", path: folder }
        ])
      }
    }
  })
