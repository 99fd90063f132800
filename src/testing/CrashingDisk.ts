/**
 * A disk in memory that keeps what was synced, and of the rest what it likes: it fails, or stops for good, at the
 * operation that a test names, and what survives a stop is another disk. `DiskContents` says what may be lost.
 */
import { constants } from "node:fs"
import { Layer } from "effect"
import { PCGRandom } from "effect/Utils"
import { Disk, type DiskService } from "../disk/Disk.ts"
import { make } from "../disk/NodeDisk.ts"
import type { Done, NodeFs } from "../disk/NodeFs.ts"
import { DiskContents, type FileNode, type FolderNode, newFile, newFolder, written } from "./DiskContents.ts"

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

/** A file as it is on the disk. */
export interface SurvivingFile {
  readonly content: Buffer
  readonly modified: number
  readonly mode: number
}

const failure = (code: string, { kind, paths }: Operation) =>
  Object.assign(new Error(`${code}: ${kind} '${paths.join("' -> '")}'`), { code })

/**
 * A disk in memory that loses what was not synced, and fails or stops where a test says.
 *
 * @example
 * const crashing = CrashingDisk.make()
 * crashing.stopAt(12) // from the 12th operation on nothing succeeds
 * const before = Layer.provide(Relay.services, Relay.liveWith(crashing.layer))
 * // … and what a start after the power went finds; another seed, another loss
 * const after = crashing.restart(seed)
 */
export class CrashingDisk {
  /** What is called: the service. */
  readonly disk: DiskService
  /** The same, in the place of the real disk. */
  readonly layer: Layer.Layer<Disk>
  /** All that was asked of it. */
  readonly operations: Array<Operation> = []
  /** Called before each operation: a moment at which somebody else could look. */
  onOperation: (operation: Operation) => void = () => {}
  private readonly contents: DiskContents
  private readonly pace: PCGRandom | undefined
  /** What is open, by its descriptor, but for what is only read. */
  private readonly opened = new Map<
    number,
    { readonly path: string; readonly node: FileNode | FolderNode | undefined }
  >()
  private plan: ((operation: Operation, at: number) => "ENOSPC" | "EIO" | "stop" | undefined) | undefined
  private stopped = false
  private failed = false

  private constructor(contents: DiskContents, pace: number | undefined) {
    this.contents = contents
    this.pace = pace === undefined ? undefined : new PCGRandom(pace)
    // It has what `Disk` calls, in the forms in which it calls it; the types of node's have more.
    this.disk = make(this.node() as unknown as NodeFs)
    this.layer = Layer.succeed(Disk, this.disk)
  }

  /** An empty one. @param pace a seed: operations take their time, each another one, so that those at once mix */
  static make(pace?: number): CrashingDisk {
    return new CrashingDisk(new DiskContents(newFolder()), pace)
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
    return new CrashingDisk(new DiskContents(this.contents.survive(seed)), pace)
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
            if (contents.at(from)?.kind === "file" && contents.at(to)?.kind === "file")
              contents.fs.unlinkSync(to)
            contents.fs.renameSync(from, to)
            contents.change(contents.entry(from, undefined), contents.entry(to, contents.at(from)))
          })
        ),
      unlink: (path: string, done: Done<void>) =>
        told(
          done,
          this.run({ kind: "unlink", paths: [path] }, () => {
            contents.fs.unlinkSync(path)
            contents.change(contents.entry(path, undefined))
          })
        ),
      lstatSync: (path: string) =>
        this.now({ kind: "lstat", paths: [path] }, () =>
          contents.fs.lstatSync(path, { throwIfNoEntry: false })
        ),
      readdirSync: (path: string) =>
        this.now({ kind: "readdir", paths: [path] }, () => contents.fs.readdirSync(path)),
      statfsSync: (path: string) =>
        this.now({ kind: "statfs", paths: [path] }, () => contents.fs.statfsSync(path)),
      promises: {
        open: (path: string, flags: number) => this.openToRead(path, flags),
        mkdir: (path: string, { mode }: { readonly mode: number }) =>
          this.run({ kind: "mkdir", paths: [path] }, () => {
            contents.fs.mkdirSync(path, { mode })
            contents.change(contents.entry(path, newFolder(mode)))
          }),
        rmdir: (path: string) =>
          this.run({ kind: "rmdir", paths: [path] }, () => {
            contents.fs.rmdirSync(path)
            contents.change(contents.entry(path, undefined))
          }),
        readdir: (path: string) =>
          this.run({ kind: "readdir", paths: [path] }, () =>
            contents.fs.readdirSync(path, { withFileTypes: true })
          ),
        lstat: (path: string) =>
          this.run({ kind: "lstat", paths: [path] }, () => contents.fs.lstatSync(path)),
        chmod: async (path: string, mode: number) => contents.fs.chmodSync(path, mode),
        access: async (path: string, mode: number) => contents.fs.accessSync(path, mode)
      }
    }
  }

  /** What is done with files that are open. */
  private byDescriptor() {
    const { contents } = this
    const pathOf = (descriptor: number): string => this.opened.get(descriptor)?.path ?? "nothing"
    /** At the end, or at a place. */
    const put = (descriptor: number, bytes: Uint8Array, at: number | null) => {
      const node = this.opened.get(descriptor)?.node
      if (node?.kind !== "file") throw new Error(`${pathOf(descriptor)} is not open for writing`)
      contents.fs.writeSync(descriptor, bytes, 0, bytes.length, at)
      node.content = written(node.content, bytes, at ?? node.content.length)
      return bytes.length
    }
    const write = (descriptor: number, bytes: Uint8Array, at: number | null) => ({
      operation: { kind: "write", paths: [pathOf(descriptor)] } as const,
      whole: () => put(descriptor, bytes, at),
      inPart: () => void put(descriptor, bytes.subarray(0, bytes.length >> 1), at)
    })
    return {
      openSync: (path: string, flags: number) =>
        this.now({ kind: "open", paths: [path] }, () => {
          const descriptor = contents.fs.openSync(path, flags)
          this.opened.set(descriptor, { path, node: this.contents.at(path) })
          return descriptor
        }),
      // Of what is open the disk need not be asked.
      fstatSync: (descriptor: number) => contents.fs.fstatSync(descriptor),
      fchmodSync: (descriptor: number, mode: number) => contents.fs.fchmodSync(descriptor, mode),
      closeSync: (descriptor: number) => {
        this.opened.delete(descriptor)
        contents.fs.closeSync(descriptor)
      },
      readSync: (descriptor: number, buffer: Uint8Array, from: number, count: number, at: number | null) =>
        this.now({ kind: "read", paths: [pathOf(descriptor)] }, () =>
          contents.fs.readSync(descriptor, buffer, from, count, at)
        ),
      writeSync: (descriptor: number, bytes: Uint8Array, from: number, count: number, at: number | null) => {
        const { operation, whole, inPart } = write(descriptor, bytes.subarray(from, from + count), at)
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
        const { operation, whole, inPart } = write(descriptor, bytes.subarray(from, from + count), null)
        told(done, this.run(operation, whole, inPart))
      },
      futimesSync: (descriptor: number, accessed: number, modified: number) =>
        this.now({ kind: "utimes", paths: [pathOf(descriptor)] }, () => {
          contents.fs.futimesSync(descriptor, accessed, modified)
          const node = this.opened.get(descriptor)?.node
          if (node?.kind === "file") node.modified = Math.round(modified * 1000)
        }),
      fsync: (descriptor: number, done: Done<void>) => told(done, this.sync(descriptor)),
      fdatasync: (descriptor: number, done: Done<void>) => told(done, this.sync(descriptor))
    }
  }

  /** A file that is not there yet is made; one that is there may be opened, where `flags` have no `O_EXCL`. */
  private create(path: string, flags: number, mode: number): Promise<number> {
    const { contents } = this
    return this.run({ kind: "open", paths: [path] }, () => {
      const descriptor = contents.fs.openSync(path, flags, mode)
      const found = contents.at(path)
      const node = found ?? newFile(mode)
      if (found === undefined) contents.change(contents.entry(path, node))
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
