/**
 * A file on its way in, and the one way from a body to the disk: what comes is collected in large blocks of shared memory,
 * of which each is written here and hashed on another thread while the next is filled. The few blocks are used again and
 * again: buffers that come and go make the garbage collector work more than all the rest.
 */
import { Effect, Option, Queue, type Scope } from "effect"
import * as Acquired from "../Acquired.ts"
import type { StorageError, StorageFull } from "../RelayError.ts"
import { type DiskError, type DiskFile, diskError } from "./Disk.ts"
import type { Hashing, HashLost } from "./Hasher.ts"
import * as StorageFailure from "./StorageFailure.ts"

/** A file that is written, and not committed yet. */
export interface Incoming {
  /** Its name among the temporary files. */
  readonly name: string
  /**
   * Appends bytes, which may be overwritten afterwards, unless it is said that they are not. `StorageFull`: room is looked
   * for again while a file comes.
   */
  readonly write: (bytes: Uint8Array, areGiven?: boolean) => Effect.Effect<void, StorageFull | StorageError>
  /** Content, size and modification time (milliseconds since 1970) are on the disk afterwards. */
  readonly sync: (modified: number) => Effect.Effect<void, DiskError>
  /** All of a content that is so small that there is no file yet: whoever commits it may make that. */
  readonly held: () => Uint8Array | undefined
}

const nothing = new Uint8Array(0)

/**
 * A new file, which is made when there is more than a little of it, and closed with its scope.
 *
 * @param room waits until there is room for so many more bytes; undefined: there is
 */
export const open = (
  name: string,
  create: Effect.Effect<DiskFile, DiskError>,
  room: (size: number) => Effect.Effect<void, StorageFull | StorageError> | undefined,
  { mostHeld = 0, opened = () => {}, discard = () => undefined }: OpenOptions = {}
): Effect.Effect<Incoming, never, Scope.Scope> =>
  Acquired.acquireWith(() => {
    const { incoming, close } = begin(name, create, room, mostHeld)
    opened(incoming)
    const release = () => {
      const closing = close()
      return closing === undefined
        ? discard(incoming, false)
        : Effect.andThen(closing, () => discard(incoming, true) ?? Effect.void)
    }
    return { made: incoming, release }
  })

/** What else there is to say of a new file. */
export interface OpenOptions {
  /** So much is kept in memory until it is known what becomes of it: bytes. */
  readonly mostHeld?: number
  readonly opened?: (incoming: Incoming) => void
  /** Called when the scope ends, and the file is closed; whether there may be one. What it gives is done. */
  readonly discard?: (incoming: Incoming, mayBeThere: boolean) => Effect.Effect<void> | undefined
}

/** Such a file; `close` gives what closes it, where one may have been made. */
const begin = (
  name: string,
  create: Effect.Effect<DiskFile, DiskError>,
  room: (size: number) => Effect.Effect<void, StorageFull | StorageError> | undefined,
  mostHeld: number
): { readonly incoming: Incoming; readonly close: () => Effect.Effect<void> | undefined } => {
  let file: DiskFile | undefined
  let isBegun = false
  let held: Uint8Array = nothing
  const made = Effect.suspend(() => {
    if (file !== undefined) return Effect.succeed(file)
    return Effect.gen(function* () {
      isBegun = true
      const opened = yield* create
      file = opened
      if (held.length > 0) yield* opened.write(held)
      held = nothing
      return opened
    }).pipe(Effect.uninterruptible)
  })
  const append = (bytes: Uint8Array, areGiven: boolean) => {
    if (file === undefined && held.length + bytes.length <= mostHeld) {
      held = areGiven && held.length === 0 ? bytes : Buffer.concat([held, bytes])
      return Effect.void
    }
    return Effect.mapError(
      Effect.flatMap(made, (opened) => opened.write(bytes)),
      StorageFailure.writeError
    )
  }
  const incoming: Incoming = {
    name,
    write: (bytes, areGiven = false) =>
      Effect.suspend(() => {
        const looked = room(bytes.length)
        return looked === undefined
          ? append(bytes, areGiven)
          : Effect.andThen(looked, () => append(bytes, areGiven))
      }),
    sync: (modified) => Effect.flatMap(made, (opened) => opened.sync(modified)),
    held: () => (file === undefined ? held : undefined)
  }
  return { incoming, close: () => (isBegun ? (file?.close ?? Effect.void) : undefined) }
}

/** Where the content of a file comes from. */
export interface Body<E> {
  /** Fills this memory with the next bytes, and gives how many they are: fewer than there is place for only at the end. */
  readonly fill: (memory: Uint8Array) => Effect.Effect<number, E>
}

/** What a body may be, and what hashes it. */
export interface TakeOptions<E> {
  /** Bytes that were announced. */
  readonly expected: Option.Option<number>
  /** Fails with `tooLong` past this many bytes. */
  readonly limit: number
  readonly tooLong: () => E
  readonly hashing: Hashing
}

/** What came. */
export interface Taken {
  /** Bytes. */
  readonly size: number
  readonly digest: Buffer
}

/** Bytes. */
const blockSize = 512 * 1024
/** Bytes. */
const small = 64 * 1024
/** More blocks than this are not used for a body. */
const mostBlocks = 4

const newBlock = (length: number): Uint8Array => new Uint8Array(new SharedArrayBuffer(length))

/** A block that is full, and what waits until it is hashed. */
interface Full {
  readonly block: Uint8Array
  readonly hashed: Effect.Effect<void, HashLost>
}

const lost = <A>(effect: Effect.Effect<A, HashLost>): Effect.Effect<A, StorageError> =>
  Effect.mapError(effect, StorageFailure.storageError)

/**
 * Has full blocks written and hashed, in their order, while more are filled; gives what is in the last one.
 *
 * @param first is full
 * @param fill gives how many bytes it put in a block: fewer than there is place for only at the end
 */
const manyBlocks = <E>(
  { write }: Incoming,
  hashing: Hashing,
  first: Uint8Array,
  fill: (block: Uint8Array) => Effect.Effect<number, E>
) =>
  Effect.gen(function* () {
    const full = yield* Queue.unbounded<Full | undefined>()
    const written = yield* Queue.unbounded<Full>()
    /** The block that was written first, once it is hashed too. */
    const used = Effect.gen(function* () {
      const { block, hashed } = yield* Queue.take(written)
      yield* lost(hashed)
      return block
    })
    const filling = Effect.gen(function* () {
      let block = first
      for (let made = 1; ; made++) {
        yield* Queue.offer(full, { block, hashed: yield* hashing.update(block) })
        block = made < mostBlocks ? newBlock(first.length) : yield* used
        const count = yield* fill(block)
        if (count === block.length) continue
        yield* Queue.offer(full, undefined)
        return block.subarray(0, count)
      }
    })
    const writing = Effect.gen(function* () {
      for (let next = yield* Queue.take(full); next !== undefined; next = yield* Queue.take(full)) {
        yield* write(next.block)
        yield* Queue.offer(written, next)
      }
    })
    return yield* Effect.zipLeft(filling, writing, { concurrent: true })
  })

/** Takes a body to the disk and through the hash, up to a limit of bytes; gives its length and the hash. */
export const take = <E>(
  incoming: Incoming,
  body: Body<E>,
  { expected, limit, tooLong, hashing }: TakeOptions<E>
): Effect.Effect<Taken, E | StorageFull | StorageError> =>
  Effect.gen(function* () {
    let size = 0
    const fill = (block: Uint8Array) =>
      Effect.flatMap(body.fill(block.subarray(0, Math.min(block.length, limit - size + 1))), (count) => {
        size += count
        return size > limit ? Effect.fail(tooLong()) : Effect.succeed(count)
      })
    // With a byte to spare, the end of a body that was announced is seen before its block is full.
    const spare = Option.match(expected, { onNone: () => blockSize, onSome: (announced) => announced + 1 })
    // What is small is hashed here, and need not be in memory that is shared.
    const first = spare <= small ? new Uint8Array(spare) : newBlock(Math.min(blockSize, spare))
    const count = yield* fill(first)
    const last =
      count < first.length ? first.subarray(0, count) : yield* manyBlocks(incoming, hashing, first, fill)
    const digest = yield* lost(hashing.digest(last))
    yield* incoming.write(last, true)
    return { size, digest }
  })

/** Takes over all of a content that is on the disk already. */
export const copy = (
  { write }: Incoming,
  content: AsyncIterable<Uint8Array>
): Effect.Effect<void, StorageFull | StorageError> =>
  Effect.acquireUseRelease(
    Effect.sync(() => content[Symbol.asyncIterator]()),
    (pieces) =>
      Effect.gen(function* () {
        const next = Effect.mapError(
          Effect.tryPromise({ try: () => pieces.next(), catch: diskError }),
          StorageFailure.writeError
        )
        for (let piece = yield* next; piece.done !== true; piece = yield* next) yield* write(piece.value)
      }),
    (pieces) => Effect.promise(async () => void (await pieces.return?.().catch(() => {})))
  )
