/**
 * A disk in memory that keeps what was synced, and of the rest what it likes: it fails, or stops for good, at the
 * operation that a test names, and what survives a stop is another disk.
 *
 * What it may do to what was not synced is what file systems do at their worst. A file's content: as it was at its last
 * sync, or as it is now, or cut, or garbage of the same length. A folder's entries: of the changes since its last sync any
 * may be lost, but for those that a kept one builds on: an earlier change of the same name, or a folder's emptying
 * before its removal. A rename is one change, wherever it leads.
 */
import { constants } from "node:fs"
import { PCGRandom } from "effect/Utils"
import { createFsFromVolume, Volume } from "memfs"
import type { DiskService } from "../../src/disk/Disk.ts"
import { make } from "../../src/disk/NodeDisk.ts"
import type { Done, NodeFs } from "../../src/disk/NodeFs.ts"

interface FileNode {
  readonly kind: "file"
  readonly mode: number
  content: Buffer
  /** Milliseconds since 1970. */
  modified: number
  synced: { readonly content: Buffer; readonly modified: number } | undefined
  /** A sync has failed: what was written before is not on the disk, whatever later ones say. */
  spoiled: boolean
}

interface FolderNode {
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

/** One call of the system; a test may name the kinds that interest it. */
export interface Operation {
  readonly kind:
    | "open"
    | "write"
    | "utimes"
    | "sync"
    | "read"
    | "rename"
    | "unlink"
    | "mkdir"
    | "rmdir"
    | "readdir"
    | "lstat"
    | "statfs"
  readonly paths: ReadonlyArray<string>
}

export interface SurvivingFile {
  readonly content: Buffer
  readonly modified: number
  readonly mode: number
}

const newFolder = (mode = 0o755): FolderNode => ({
  kind: "folder",
  mode,
  entries: new Map(),
  synced: new Map()
})

const failure = (code: string, { kind, paths }: Operation) =>
  Object.assign(new Error(`${code}: ${kind} '${paths.join("' -> '")}'`), { code })

/** What is written, and what of it would survive. */
class Contents {
  readonly fs = createFsFromVolume(new Volume())
  readonly root: FolderNode
  /** In the order they were made; none of it is certain to survive. */
  private changes: ReadonlyArray<Change> = []

  constructor(root: FolderNode) {
    this.root = root
    this.fill("", root)
  }

  private fill(path: string, folder: FolderNode): void {
    for (const [name, node] of folder.entries) {
      const child = `${path}/${name}`
      if (node.kind === "folder") {
        this.fs.mkdirSync(child, { mode: node.mode })
        this.fill(child, node)
      } else {
        this.fs.writeFileSync(child, node.content, { mode: node.mode })
        this.fs.utimesSync(child, node.modified / 1000, node.modified / 1000)
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
    const after = this.changes.filter((earlier) =>
      earlier.entries.some(
        (one) =>
          emptied.includes(one.folder) ||
          entries.some(({ folder, name }) => one.folder === folder && one.name === name)
      )
    )
    this.changes = [...this.changes, { entries, after }]
    for (const { folder, name, node } of entries) apply(folder.entries, name, node)
  }

  /** What changed in a folder is on the disk, with all that it builds on. */
  syncFolder(folder: FolderNode): void {
    const synced = new Set<Change>()
    const include = (change: Change) => {
      if (synced.has(change) || !this.changes.includes(change)) return
      synced.add(change)
      change.after.forEach(include)
    }
    for (const change of this.changes)
      if (change.entries.some((one) => one.folder === folder)) include(change)
    for (const change of this.changes)
      if (synced.has(change))
        for (const { folder, name, node } of change.entries) apply(folder.synced, name, node)
    this.changes = this.changes.filter((change) => !synced.has(change))
  }

  /** What a stop leaves. */
  survive(seed: number): FolderNode {
    const random = new PCGRandom(seed)
    const chance = pick(random, [0, 0.3, 0.7, 1])
    // File systems with a journal keep what came before some moment, and nothing after.
    const journalled = random.integer(2) === 0
    const cut = random.integer(this.changes.length + 1)
    const isKept = (at: number) => (journalled ? at < cut : random.number() < chance)
    const lost = new Set<Change>()
    const surviving = new Surviving(random)
    this.changes.forEach((change, at) => {
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
    const { random } = this
    const left =
      synced?.content === content && synced.modified === modified
        ? synced
        : pick(random, [
            synced ?? { content: Buffer.alloc(0), modified: 0 },
            { content, modified },
            { content: content.subarray(0, random.integer(content.length + 1)), modified },
            { content: Buffer.alloc(content.length, "?"), modified }
          ])
    return { kind: "file", mode, ...left, synced: left, spoiled: false }
  }
}

export class CrashingDisk {
  readonly disk: DiskService
  /** All that was asked of it. */
  readonly operations: Array<Operation> = []
  /** Called before each operation: a moment at which somebody else could look. */
  onOperation: (operation: Operation) => void = () => {}
  private readonly contents: Contents
  private readonly pace: PCGRandom | undefined
  /** What is open, by its descriptor, but for what is only read. */
  private readonly opened = new Map<number, { readonly path: string; readonly node: Node | undefined }>()
  private plan: ((operation: Operation, at: number) => "ENOSPC" | "EIO" | "stop" | undefined) | undefined
  private stopped = false
  private failed = false

  private constructor(contents: Contents, pace: number | undefined) {
    this.contents = contents
    this.pace = pace === undefined ? undefined : new PCGRandom(pace)
    // It has what `Disk` calls, in the forms in which it calls it; the types of node's have more.
    this.disk = make(this.node() as unknown as NodeFs)
  }

  /** An empty one. @param pace a seed: operations take their time, each another one, so that those at once mix */
  static make(pace?: number): CrashingDisk {
    return new CrashingDisk(new Contents(newFolder()), pace)
  }

  /** Of the operations from now on, counted from 1, this one fails: as a full disk, or a broken one. */
  failAt(operation: number, code: "ENOSPC" | "EIO"): void {
    const now = this.operations.length
    this.plan = (_, at) => (at === now + operation ? code : undefined)
  }

  /** From this one of the operations from now on, counted from 1, none ever succeeds. */
  stopAt(operation: number): void {
    const now = this.operations.length
    this.plan = (_, at) => (at >= now + operation ? "stop" : undefined)
  }

  /** What fails, by what it is; `at` is its number, counted from 1. */
  failWhen(plan: (operation: Operation, at: number) => "ENOSPC" | "EIO" | "stop" | undefined): void {
    this.plan = plan
  }

  get isStopped(): boolean {
    return this.stopped
  }

  /** Whether something has failed as planned. */
  get hasFailed(): boolean {
    return this.failed
  }

  /** The power went: what a new start finds. This one has stopped for good. */
  restart(seed: number, pace?: number): CrashingDisk {
    this.stopped = true
    return this.ifStopped(seed, pace)
  }

  /** What a restart would find if the power went now; this one goes on. */
  ifStopped(seed: number, pace?: number): CrashingDisk {
    return new CrashingDisk(new Contents(this.contents.survive(seed)), pace)
  }

  /** The process was killed: a new one finds all that was written, synced or not. This one has stopped for good. */
  takeOver(pace?: number): CrashingDisk {
    this.stopped = true
    return new CrashingDisk(this.contents, pace)
  }

  /** A file as it is now, for who looks. */
  file(path: string): SurvivingFile | undefined {
    const node = this.contents.at(path)
    return node?.kind === "file" ? node : undefined
  }

  /** What is there now, by path, for who looks. */
  files(): ReadonlyMap<string, SurvivingFile> {
    const found = new Map<string, SurvivingFile>()
    const walk = (path: string, { entries }: FolderNode) => {
      for (const [name, node] of entries)
        if (node.kind === "folder") walk(`${path}/${name}`, node)
        else found.set(`${path}/${name}`, node)
    }
    walk("", this.contents.root)
    return found
  }

  /** Does it, unless it is to fail; `inPart` is what a failure leaves. */
  private now<A>(operation: Operation, effect: () => A, inPart: () => void = () => {}): A {
    this.onOperation(operation)
    this.operations.push(operation)
    const planned = this.stopped ? "stop" : this.plan?.(operation, this.operations.length)
    if (planned === undefined) return effect()
    this.failed = true
    if (planned !== "stop") inPart()
    this.stopped ||= planned === "stop"
    throw failure(planned === "stop" ? "EIO" : planned, operation)
  }

  /** The same, by a thread: in its own time. */
  private async run<A>(operation: Operation, effect: () => A, inPart?: () => void): Promise<A> {
    for (let turns = this.pace?.integer(4) ?? 0; turns > 0; turns--)
      await new Promise((resolve) => setImmediate(resolve))
    return this.now(operation, effect, inPart)
  }

  /** As much of node's `fs` as `Disk` needs. */
  private node() {
    const { contents } = this
    const { fs } = contents
    return {
      constants,
      ...this.byDescriptor(),
      open: (path: string, flags: number, mode: number, done: Done<number>) =>
        told(done, this.create(path, flags, mode)),
      rename: (from: string, to: string, done: Done<void>) =>
        told(
          done,
          this.run({ kind: "rename", paths: [from, to] }, () => {
            // memfs goes on counting what a rename replaces, and would never remove its folder.
            if (contents.at(from)?.kind === "file" && contents.at(to)?.kind === "file") fs.unlinkSync(to)
            fs.renameSync(from, to)
            contents.change(contents.entry(from, undefined), contents.entry(to, contents.at(from)))
          })
        ),
      unlink: (path: string, done: Done<void>) =>
        told(
          done,
          this.run({ kind: "unlink", paths: [path] }, () => {
            fs.unlinkSync(path)
            contents.change(contents.entry(path, undefined))
          })
        ),
      lstatSync: (path: string) =>
        this.now({ kind: "lstat", paths: [path] }, () => fs.lstatSync(path, { throwIfNoEntry: false })),
      statfsSync: (path: string) => this.now({ kind: "statfs", paths: [path] }, () => fs.statfsSync(path)),
      promises: {
        open: (path: string, flags: number) => this.openToRead(path, flags),
        mkdir: (path: string, { mode }: { readonly mode: number }) =>
          this.run({ kind: "mkdir", paths: [path] }, () => {
            fs.mkdirSync(path, { mode })
            contents.change(contents.entry(path, newFolder(mode)))
          }),
        rmdir: (path: string) =>
          this.run({ kind: "rmdir", paths: [path] }, () => {
            fs.rmdirSync(path)
            contents.change(contents.entry(path, undefined))
          }),
        readdir: (path: string) =>
          this.run({ kind: "readdir", paths: [path] }, () => fs.readdirSync(path, { withFileTypes: true })),
        lstat: (path: string) => this.run({ kind: "lstat", paths: [path] }, () => fs.lstatSync(path)),
        chmod: async (path: string, mode: number) => fs.chmodSync(path, mode),
        access: async (path: string, mode: number) => fs.accessSync(path, mode)
      }
    }
  }

  /** What is done with files that are open. */
  private byDescriptor() {
    const { fs } = this.contents
    const pathOf = (descriptor: number): string => this.opened.get(descriptor)?.path ?? "nothing"
    const append = (descriptor: number, bytes: Uint8Array) => {
      const node = this.opened.get(descriptor)?.node
      if (node?.kind !== "file") throw new Error(`${pathOf(descriptor)} is not open for writing`)
      fs.writeSync(descriptor, bytes)
      node.content = Buffer.concat([node.content, bytes])
      return bytes.length
    }
    const write = (descriptor: number, bytes: Uint8Array) => ({
      operation: { kind: "write", paths: [pathOf(descriptor)] } as const,
      whole: () => append(descriptor, bytes),
      inPart: () => void append(descriptor, bytes.subarray(0, bytes.length >> 1))
    })
    return {
      openSync: (path: string, flags: number) =>
        this.now({ kind: "open", paths: [path] }, () => {
          const descriptor = fs.openSync(path, flags)
          this.opened.set(descriptor, { path, node: this.contents.at(path) })
          return descriptor
        }),
      // Of what is open the disk need not be asked.
      fstatSync: (descriptor: number) => fs.fstatSync(descriptor),
      fchmodSync: (descriptor: number, mode: number) => fs.fchmodSync(descriptor, mode),
      closeSync: (descriptor: number) => {
        this.opened.delete(descriptor)
        fs.closeSync(descriptor)
      },
      readSync: (descriptor: number, buffer: Uint8Array, from: number, count: number) =>
        this.now({ kind: "read", paths: [pathOf(descriptor)] }, () =>
          fs.readSync(descriptor, buffer, from, count, null)
        ),
      writeSync: (descriptor: number, bytes: Uint8Array, from: number, count: number) => {
        const { operation, whole, inPart } = write(descriptor, bytes.subarray(from, from + count))
        return this.now(operation, whole, inPart)
      },
      write: (
        descriptor: number,
        bytes: Uint8Array,
        from: number,
        count: number,
        _: null,
        done: Done<number>
      ) => {
        const { operation, whole, inPart } = write(descriptor, bytes.subarray(from, from + count))
        told(done, this.run(operation, whole, inPart))
      },
      futimesSync: (descriptor: number, accessed: number, modified: number) =>
        this.now({ kind: "utimes", paths: [pathOf(descriptor)] }, () => {
          fs.futimesSync(descriptor, accessed, modified)
          const node = this.opened.get(descriptor)?.node
          if (node?.kind === "file") node.modified = Math.round(modified * 1000)
        }),
      fsync: (descriptor: number, done: Done<void>) => told(done, this.sync(descriptor)),
      fdatasync: (descriptor: number, done: Done<void>) => told(done, this.sync(descriptor))
    }
  }

  private create(path: string, flags: number, mode: number): Promise<number> {
    const { contents } = this
    const node: FileNode = {
      kind: "file",
      mode,
      content: Buffer.alloc(0),
      modified: 0,
      synced: undefined,
      spoiled: false
    }
    return this.run({ kind: "open", paths: [path] }, () => {
      const descriptor = contents.fs.openSync(path, flags, mode)
      contents.change(contents.entry(path, node))
      this.opened.set(descriptor, { path, node })
      return descriptor
    })
  }

  private sync(descriptor: number): Promise<void> {
    const { path = "nothing", node } = this.opened.get(descriptor) ?? {}
    return this.run(
      { kind: "sync", paths: [path] },
      () => {
        if (node?.kind === "folder") this.contents.syncFolder(node)
        else if (node !== undefined && !node.spoiled)
          node.synced = { content: node.content, modified: node.modified }
      },
      () => {
        if (node?.kind === "file") node.spoiled = true
      }
    )
  }

  private async openToRead(path: string, flags: number) {
    const { fs } = this.contents
    const descriptor = await this.run({ kind: "open", paths: [path] }, () => fs.openSync(path, flags))
    let underWay: Promise<unknown> = Promise.resolve()
    return {
      stat: async () => fs.fstatSync(descriptor),
      read: (buffer: Uint8Array, from: number, count: number) => {
        const done = this.run({ kind: "read", paths: [path] }, () => ({
          bytesRead: fs.readSync(descriptor, buffer, from, count, null)
        }))
        underWay = Promise.allSettled([underWay, done])
        return done
      },
      close: async () => {
        await underWay
        fs.closeSync(descriptor)
      }
    }
  }
}

/** As node tells the end of what a thread did: never while it is asked. */
const told = <A>(done: Done<A>, outcome: Promise<A>): void => {
  outcome.then(
    (value) => done(null, value),
    // `run` fails with errors alone.
    (error: Error) => queueMicrotask(() => (done as (error: Error) => void)(error))
  )
}
