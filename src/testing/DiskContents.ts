/**
 * What is written on a disk in memory, and what of it a stop leaves.
 *
 * What a stop may do to what was not synced is what file systems do at their worst. A file's content: as it was at its
 * last sync, or as it is now, or cut, or garbage of the same length; of one that was synced before, block by block, since
 * what it had is written over where it is. A folder's entries: of the changes since its last
 * sync any may be lost, but for those that a kept one builds on: an earlier change of the same name, or a folder's
 * emptying before its removal. A rename is one change, wherever it leads.
 */
import { PCGRandom } from "effect/Utils"
import { Volume } from "memfs"

/** A file, and what of it was synced. */
export interface FileNode {
  readonly kind: "file"
  readonly mode: number
  content: Buffer
  /** Milliseconds since 1970. */
  modified: number
  synced: { readonly content: Buffer; readonly modified: number } | undefined
  /** A sync has failed: what was written before is not on the disk, whatever later ones say. */
  spoiled: boolean
}

/** A folder: what it has, and what of that was synced. */
export interface FolderNode {
  readonly kind: "folder"
  readonly mode: number
  readonly entries: Map<string, Node>
  readonly synced: Map<string, Node>
}

type Node = FileNode | FolderNode

/** What a name means from now on; nothing: it is gone. */
interface Entry {
  readonly folder: FolderNode
  readonly name: string
  readonly node: Node | undefined
}

/** Entries that change at once, and the earlier changes without which this one can't be. */
interface Change {
  readonly entries: ReadonlyArray<Entry>
  readonly after: ReadonlyArray<Change>
}

/** An empty folder. */
export const newFolder = (mode = 0o755): FolderNode => ({
  kind: "folder",
  mode,
  entries: new Map(),
  synced: new Map()
})

/** An empty file. */
export const newFile = (mode: number): FileNode => ({
  kind: "file",
  mode,
  content: Buffer.alloc(0),
  modified: 0,
  synced: undefined,
  spoiled: false
})

/** A content with these bytes at a place; what is before them and was not there is zeros. */
export const written = (content: Buffer, bytes: Uint8Array, at: number): Buffer => {
  const after = Buffer.alloc(Math.max(content.length, at + bytes.length))
  content.copy(after)
  after.set(bytes, at)
  return after
}

/** What a disk writes at once, as it is divided: to write one does nothing to the next. Bytes. */
const blockLength = 4096

/** What is written, and what of it would survive. */
export class DiskContents {
  readonly root: FolderNode
  private made: Volume | undefined
  /** In the order they were made; none of it is certain to survive. */
  private readonly changes = new Set<Change>()
  /** Of these the last one of each name: a disk that is never synced has many. */
  private readonly last = new Map<FolderNode, Map<string, Change>>()

  constructor(root: FolderNode) {
    this.root = root
  }

  /** The same as files, for who calls it as a disk: most of what a stop would leave is looked at only. */
  get fs(): Volume {
    if (this.made === undefined) {
      this.made = new Volume()
      this.fill(this.made, "", this.root)
    }
    return this.made
  }

  private fill(fs: Volume, path: string, folder: FolderNode): void {
    for (const [name, node] of folder.entries) {
      const child = `${path}/${name}`
      if (node.kind === "folder") {
        fs.mkdirSync(child, { mode: node.mode })
        this.fill(fs, child, node)
      } else {
        fs.writeFileSync(child, node.content, { mode: node.mode })
        fs.utimesSync(child, node.modified / 1000, node.modified / 1000)
      }
    }
  }

  /** What stands under a path; memfs has said before that it is there. */
  at(path: string): Node | undefined {
    let node: Node | undefined = this.root
    for (const name of path.split("/").filter((part) => part !== ""))
      node = node?.kind === "folder" ? node.entries.get(name) : undefined
    return node
  }

  entry(path: string, node: Node | undefined): Entry {
    const cut = path.lastIndexOf("/")
    const folder = this.at(path.slice(0, cut))
    if (folder?.kind !== "folder") throw new Error(`${path} is in no folder that this disk knows`)
    return { folder, name: path.slice(cut + 1), node }
  }

  change(...entries: ReadonlyArray<Entry>): void {
    const emptied = entries.flatMap(({ folder, name, node }) => {
      const before = folder.entries.get(name)
      return node === undefined && entries.length === 1 && before?.kind === "folder" ? [before] : []
    })
    // What was before the last change of a name is before this one too.
    const after = [
      ...entries.flatMap(({ folder, name }) => this.last.get(folder)?.get(name) ?? []),
      ...emptied.flatMap((folder) => [...(this.last.get(folder)?.values() ?? [])])
    ]
    const change = { entries, after }
    this.changes.add(change)
    for (const { folder, name, node } of entries) {
      const names = this.last.get(folder) ?? new Map<string, Change>()
      this.last.set(folder, names.set(name, change))
      apply(folder.entries, name, node)
    }
  }

  /** What changed in a folder is on the disk, with all that it builds on. */
  syncFolder(folder: FolderNode): void {
    const synced = new Set<Change>()
    const include = (first: Change) => {
      const found = [first]
      for (let change = found.pop(); change !== undefined; change = found.pop()) {
        if (synced.has(change) || !this.changes.has(change)) continue
        synced.add(change)
        found.push(...change.after)
      }
    }
    for (const change of this.changes)
      if (change.entries.some((one) => one.folder === folder)) include(change)
    for (const change of this.changes) if (synced.has(change)) this.keep(change)
  }

  /** A change is on the disk. */
  private keep(change: Change): void {
    this.changes.delete(change)
    for (const { folder, name, node } of change.entries) {
      apply(folder.synced, name, node)
      const names = this.last.get(folder)
      if (names?.get(name) === change) names.delete(name)
    }
  }

  /** What a stop leaves. */
  survive(seed: number): FolderNode {
    const random = new PCGRandom(seed)
    const chance = pick(random, [0, 0.3, 0.7, 1])
    // File systems with a journal keep what came before some moment, and nothing after.
    const journalled = random.integer(2) === 0
    const cut = random.integer(this.changes.size + 1)
    const isKept = (at: number) => (journalled ? at < cut : random.number() < chance)
    const lost = new Set<Change>()
    const surviving = new Surviving(random)
    Array.from(this.changes).forEach((change, at) => {
      if (isKept(at) && !change.after.some((earlier) => lost.has(earlier))) surviving.keep(change)
      else lost.add(change)
    })
    return surviving.folder(this.root)
  }
}

const apply = (entries: Map<string, Node>, name: string, node: Node | undefined): void => {
  if (node === undefined) entries.delete(name)
  else entries.set(name, node)
}

const pick = <A>(random: PCGRandom, choices: readonly [A, ...ReadonlyArray<A>]): A =>
  choices[random.integer(choices.length)] ?? choices[0]

/** Copies of what a stop leaves: the stopped disk itself stays as it was. */
class Surviving {
  private readonly folders = new Map<FolderNode, Map<string, Node>>()
  private readonly random: PCGRandom

  constructor(random: PCGRandom) {
    this.random = random
  }

  keep({ entries }: Change): void {
    for (const { folder, name, node } of entries) apply(this.entriesOf(folder), name, node)
  }

  folder(folder: FolderNode): FolderNode {
    const entries = new Map(
      Array.from(this.entriesOf(folder), ([name, node]): [string, Node] => [
        name,
        node.kind === "folder" ? this.folder(node) : this.file(node)
      ])
    )
    return { kind: "folder", mode: folder.mode, entries, synced: new Map(entries) }
  }

  private entriesOf(folder: FolderNode): Map<string, Node> {
    const entries = this.folders.get(folder) ?? new Map(folder.synced)
    this.folders.set(folder, entries)
    return entries
  }

  private file({ content, modified, mode, synced }: FileNode): FileNode {
    const left =
      synced?.content === content && synced.modified === modified
        ? synced
        : synced === undefined
          ? this.unsynced(Buffer.alloc(0), content, modified)
          : pick(this.random, [synced, { content: this.overwritten(synced.content, content), modified }])
    return { kind: "file", mode, ...left, synced: left, spoiled: false }
  }

  /** What is left where one content was to take the place of another. */
  private unsynced(before: Buffer, content: Buffer, modified: number) {
    const { random } = this
    return pick(random, [
      { content: before, modified: 0 },
      { content, modified },
      { content: content.subarray(0, random.integer(content.length + 1)), modified },
      { content: Buffer.alloc(content.length, "?"), modified }
    ])
  }

  private overwritten(before: Buffer, content: Buffer): Buffer {
    const blocks: Array<Buffer> = []
    for (let at = 0; at < content.length; at += blockLength) {
      const [one, other] = [before, content].map((whole) => whole.subarray(at, at + blockLength))
      if (one === undefined || other === undefined) continue
      if (one.equals(other)) blocks.push(other)
      else {
        const left = this.unsynced(one, other, 0).content
        const cut = one.subarray(left.length, other.length)
        blocks.push(Buffer.concat([left, cut], other.length))
      }
    }
    return Buffer.concat(blocks)
  }
}
