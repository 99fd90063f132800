/**
 * Where the bytes of a journal go: its file, or, from the moment on at which that can't be written, a file of the
 * system's temporary folder that has no name any more, so that it is gone with the process however that ends; where
 * that fails too, memory.
 */
import { randomUUID } from "node:crypto"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { type FileSystem, Error as PlatformError } from "@effect/platform"
import { Effect, Exit, Scope } from "effect"
import * as Permits from "../../Permits.ts"
import type { JournalPart } from "./JournalSource.ts"
import { windowLength } from "./JournalWindow.ts"
import * as RunFolders from "./RunFolders.ts"

/** Where the bytes of one journal go. */
export interface JournalFilesOptions {
  readonly fs: FileSystem.FileSystem
  /** Where the file is while the run goes on, and where it is kept. */
  readonly path: string
  readonly finalPath: string
  /** The folder in which it goes on where its file can't be written. Default: the system's temporary folder. */
  readonly temporary?: string | undefined
}

interface OpenFile {
  readonly file: FileSystem.File
  readonly scope: Scope.CloseableScope
}

/** The file that took over. Its offset 0 is the journal's `from`. */
interface Substitute extends OpenFile {
  readonly from: number
  /** Who reads sets the file's position first: one at a time. */
  readonly alone: Permits.Permits
}

/** More than this of one write is not kept in memory. Bytes. */
const maxWrite = 256 * 1024
/** So much of what was written last is, in whole writes: what a reader's window holds. Bytes. */
const maxRecent = windowLength

/** Copied at once. Bytes. */
const copyLength = 256 * 1024

const close = (open: OpenFile | undefined): Effect.Effect<void> =>
  open === undefined ? Effect.void : Scope.close(open.scope, Exit.void)

/** The bytes of one journal, in whichever place they could be written. Lengths and offsets in bytes. */
export class JournalFiles {
  /** Bytes in the files. */
  private written = 0
  /** Of these bytes, the last that were written, each write in one piece: callers that keep up need no file. */
  private latest: Array<Buffer> = []
  private latestLength = 0
  /** What comes behind them. */
  private memory: Buffer = Buffer.alloc(0)
  private open: OpenFile | undefined
  private substitute: Substitute | undefined
  private readonly options: JournalFilesOptions

  constructor(options: JournalFilesOptions) {
    this.options = options
  }

  get length(): number {
    return this.written + this.memory.length
  }

  /** Some of it is in memory: nothing more is written, until `finish`. */
  get isStuck(): boolean {
    return this.memory.length > 0
  }

  isWritten(offset: number): boolean {
    return offset < this.written
  }

  /** Bytes from `offset` on that are in no file. */
  unwritten(offset: number): Buffer | undefined {
    return this.isWritten(offset) ? undefined : this.memory.subarray(offset - this.written)
  }

  /** Bytes from `offset` on to the end of a write, where that was only now: a copy of what is in the files. */
  recent(offset: number): Buffer | undefined {
    let from = offset - (this.written - this.latestLength)
    if (from < 0) return undefined
    for (const bytes of this.latest) {
      if (from < bytes.length) return bytes.subarray(from)
      from -= bytes.length
    }
    return undefined
  }

  /** Appends what `write` could not. */
  remember(bytes: Buffer): void {
    this.memory = Buffer.concat([this.memory, bytes])
  }

  partAt(offset: number): JournalPart {
    const { substitute } = this
    if (substitute !== undefined && offset >= substitute.from)
      return { to: this.written, paths: [], read: (at, into) => this.readSubstitute(substitute, at, into) }
    const { path, finalPath } = this.options
    return {
      to: substitute?.from ?? this.written,
      paths: [path, finalPath],
      read: () => Effect.succeed(-1)
    }
  }

  /** Appends, to the one file or the other; fails where neither takes it, and what was there before stays. */
  write(bytes: Buffer): Effect.Effect<void, PlatformError.PlatformError> {
    return Effect.suspend(() =>
      this.substitute === undefined
        ? Effect.catchAll(this.append(bytes), (error) => this.goElsewhere(error, bytes))
        : appendTo(this.substitute, this.written, bytes)
    ).pipe(Effect.map(() => this.wrote(bytes)))
  }

  /** For now nothing more comes. */
  rest(): void {
    if (this.latestLength > maxRecent) this.forgetRecent()
  }

  /** A file that has a name is opened again when it is needed. */
  readonly closeIdle: Effect.Effect<void> = Effect.suspend(() => {
    const { open } = this
    this.open = undefined
    return close(open)
  })

  /**
   * Brings everything into the journal's own file, and that to its final place. The disk may have room again. Where this
   * fails, all stays where it is.
   */
  readonly finish: Effect.Effect<void, PlatformError.PlatformError> = Effect.gen(this, function* () {
    yield* this.closeIdle
    if (this.substitute !== undefined || this.memory.length > 0) yield* this.bringHome(this.substitute)
    yield* this.options.fs.rename(this.options.path, this.options.finalPath)
  })

  /** Lets go of what is elsewhere. */
  readonly discard: Effect.Effect<void> = Effect.suspend(() => {
    const { substitute } = this
    this.substitute = undefined
    return substitute === undefined ? Effect.void : substitute.alone(close(substitute))
  })

  private wrote(bytes: Buffer): void {
    this.written += bytes.length
    this.keepRecent(bytes)
  }

  private keepRecent(bytes: Buffer): void {
    if (bytes.length > maxWrite) {
      this.forgetRecent()
      return
    }
    this.latest.push(bytes)
    this.latestLength += bytes.length
    while (this.latest.length > 1 && this.latestLength > maxRecent)
      this.latestLength -= this.latest.shift()?.length ?? 0
  }

  private forgetRecent(): void {
    this.latest = []
    this.latestLength = 0
  }

  private append(bytes: Buffer): Effect.Effect<void, PlatformError.PlatformError> {
    if (this.open !== undefined) return this.open.file.writeAll(bytes)
    return Effect.flatMap(this.openAt(this.written), (open) => {
      this.open = open
      return open.file.writeAll(bytes)
    })
  }

  /** Opens the journal's own file: a file that is gone is not made again, since what it had is gone. */
  private openAt(offset: number): Effect.Effect<OpenFile, PlatformError.PlatformError> {
    const { fs, path } = this.options
    return Effect.gen(function* () {
      if (offset === 0) yield* RunFolders.makeFolder(fs, dirname(path))
      const opened = yield* scoped(fs.open(path, { flag: offset === 0 ? "w" : "r+", mode: 0o600 }))
      yield* opened.file.seek(offset, "start")
      return opened
    })
  }

  private goElsewhere(error: PlatformError.PlatformError, bytes: Buffer) {
    const { fs, path, temporary = tmpdir() } = this.options
    return Effect.gen(this, function* () {
      yield* Effect.logWarning(
        "the run's history can't be written; it goes on in a temporary file, gone with the process"
      ).pipe(Effect.annotateLogs({ file: path, problem: error.message }))
      // Readers look no further than `written`; a repair after a crash would.
      if (this.open !== undefined) yield* Effect.ignore(this.open.file.truncate(this.written))
      yield* this.closeIdle
      const name = join(temporary, `rudder-relay-run-${randomUUID()}`)
      const opened = yield* scoped(fs.open(name, { flag: "wx+", mode: 0o600 }))
      yield* fs.remove(name).pipe(
        Effect.andThen(opened.file.writeAll(bytes)),
        Effect.onError(() => close(opened))
      )
      this.substitute = { ...opened, from: this.written, alone: Permits.make(1) }
    })
  }

  private readSubstitute(substitute: Substitute, offset: number, into: Uint8Array) {
    return Effect.gen(this, function* () {
      // Closed while this waited: its descriptor may be another file's by now.
      if (this.substitute !== substitute) return -1
      yield* substitute.file.seek(offset - substitute.from, "start")
      return Number(yield* substitute.file.read(into))
    }).pipe(substitute.alone)
  }

  private bringHome(substitute: Substitute | undefined) {
    const from = substitute?.from ?? this.written
    return Effect.gen(this, function* () {
      const home = yield* this.openAt(from)
      yield* (substitute === undefined ? Effect.void : this.copy(substitute, home.file)).pipe(
        Effect.andThen(this.memory.length === 0 ? Effect.void : home.file.writeAll(this.memory)),
        Effect.onError(() => Effect.ignore(home.file.truncate(from))),
        Effect.ensuring(close(home))
      )
      this.written += this.memory.length
      this.forgetRecent()
      this.memory = Buffer.alloc(0)
      yield* this.discard
    })
  }

  private copy(substitute: Substitute, home: FileSystem.File) {
    return Effect.gen(this, function* () {
      const piece = Buffer.allocUnsafe(copyLength)
      for (let at = substitute.from; at < this.written; ) {
        const length = yield* this.readSubstitute(
          substitute,
          at,
          piece.subarray(0, Math.min(copyLength, this.written - at))
        )
        if (length <= 0) return yield* Effect.fail(cutShort)
        yield* home.writeAll(piece.subarray(0, length))
        at += length
      }
    })
  }
}

const cutShort = new PlatformError.SystemError({
  module: "FileSystem",
  method: "read",
  reason: "UnexpectedEof",
  description: "a temporary file is shorter than what was written to it"
})

const appendTo = ({ file, from, alone }: Substitute, offset: number, bytes: Buffer) =>
  Effect.andThen(file.seek(offset - from, "start"), file.writeAll(bytes)).pipe(alone)

const scoped = (open: Effect.Effect<FileSystem.File, PlatformError.PlatformError, Scope.Scope>) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const file = yield* open.pipe(
      Scope.extend(scope),
      Effect.onError(() => Scope.close(scope, Exit.void))
    )
    return { file, scope }
  })
