/** What is stored, in the order of its folders, a page at a time. */
import { Effect, Option } from "effect"
import type { DiskEntry, DiskError, DiskService } from "../../disk/Disk.ts"
import * as Folders from "../../disk/Folders.ts"
import * as Smallest from "../../Smallest.ts"
import { type Location, metadataSuffix } from "../file/Location.ts"

/** A file that is stored. */
export interface StoredFile {
  readonly location: Location
  /** Bytes. */
  readonly size: number
  /** RFC 3339; none where an older relay stored it. */
  readonly date: Option.Option<string>
  /** Unix time; none: never. */
  readonly expires: Option.Option<number>
}

/** A part of what is stored. */
export interface StoredPage {
  readonly files: ReadonlyArray<StoredFile>
  /** The last one's place, where there are more. */
  readonly next: Option.Option<Location>
}

/** Which files. */
export interface StoredSelection {
  /** At most so many. */
  readonly limit: number
  /** Only what comes behind this place. */
  readonly after: Option.Option<Location>
  /** Whether there may be such files below this folder: names from the top down. */
  readonly enter: (folders: ReadonlyArray<string>) => boolean
  /** Whether the file at this place is one of them. */
  readonly wanted: (location: Location) => boolean
}

/** What it takes to look. */
interface Parts {
  readonly disk: DiskService
  readonly root: string
  /** The file at a place; none where it is no whole file. */
  readonly look: (location: Location) => Effect.Effect<Option.Option<StoredFile>>
}

/** So many names of a folder are put in order at once. */
const namesAtOnce = 1000

/** A folder that is gone by now has nothing. */
const entriesOf = ({ disk, root }: Parts, folders: ReadonlyArray<string>) =>
  disk.list([root, ...folders].join("/"))

const isShown = ({ kind, name }: DiskEntry, folders: ReadonlyArray<string>): boolean =>
  kind === "folder"
    ? folders.length > 0 || name !== Folders.temporaryName
    : kind === "file" && name.endsWith(metadataSuffix)

/**
 * Goes through the files below a folder, until one says that it is enough; gives whether none did.
 *
 * @param after names from this folder down: what comes before, and that file itself, is left out
 */
const visit = (
  parts: Parts,
  which: Pick<StoredSelection, "enter" | "wanted">,
  take: (file: StoredFile) => boolean,
  folders: ReadonlyArray<string>,
  after: ReadonlyArray<string>
): Effect.Effect<boolean, DiskError> =>
  Effect.gen(function* () {
    const [from = "", ...below] = after
    const entries = (yield* entriesOf(parts, folders)).filter(
      (entry) => entry.name >= from && isShown(entry, folders)
    )
    const kinds = new Map(entries.map(({ name, kind }) => [name, kind]))
    while (kinds.size > 0) {
      const next = Smallest.make(namesAtOnce)
      for (const name of kinds.keys()) if (next.mayBe(name)) next.add(name)
      for (const name of next.sorted()) {
        const inner = [...folders, name]
        const location = { folders, file: name.slice(0, -metadataSuffix.length) }
        if (kinds.get(name) === "folder") {
          const goOn =
            !which.enter(inner) || (yield* visit(parts, which, take, inner, name === from ? below : []))
          if (!goOn) return false
        } else if ((name !== from || below.length > 0) && which.wanted(location)) {
          const file = yield* parts.look(location)
          if (Option.isSome(file) && !take(file.value)) return false
        }
        kinds.delete(name)
      }
    }
    return true
  })

/** A page of what is stored now. */
export const page = (parts: Parts, selection: StoredSelection): Effect.Effect<StoredPage, DiskError> =>
  Effect.gen(function* () {
    const { limit } = selection
    const after = Option.match(selection.after, {
      onNone: () => [],
      onSome: ({ folders, file }) => [...folders, `${file}${metadataSuffix}`]
    })
    const found: Array<StoredFile> = []
    yield* visit(parts, selection, (file) => found.push(file) <= limit, [], after)
    const files = found.slice(0, limit)
    const next = found.length > limit ? Option.fromNullable(files.at(-1)?.location) : Option.none()
    return { files, next }
  })
