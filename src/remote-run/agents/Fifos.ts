/**
 * The pipes that agents write to.
 *
 * Node's own "pipes" are sockets, which a program can't open by name (`echo > /dev/stderr`). FIFOs are pipes, and only a
 * program can make them: `mkfifo` makes many at once. Each is used for one stream of one agent at a time, and stays open for
 * the next one while any agent has one.
 */
import { execFile } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import { promisify } from "node:util"
import { Clock, Effect } from "effect"
import * as Permits from "../../Permits.ts"
import { FifoPair } from "./Fifo.ts"
import * as FifoFolder from "./FifoFolder.ts"
import * as SpawnFailure from "./SpawnFailure.ts"

export interface Fifos {
  /** Two that nobody but the relay has open. Fails where they can't be made now, and ordinary pipes have to do; it is tried again some seconds later. */
  readonly take: Effect.Effect<FifoPair, SpawnFailure.SpawnFailure>
  /**
   * Both have been read to their end, so that nobody else has them open for writing: they serve another agent. Who has
   * opened one for reading, and goes on, can't be seen while the relay reads it too: a program that reads its own output
   * would read, and could by `/proc/self/fd` write, the next agent's.
   */
  readonly give: (pair: FifoPair) => void
  /** Somebody may have one of them open still: both are removed, and what is written to them reaches no other agent's output. */
  readonly remove: (pair: FifoPair) => void
  /** Forgets those that were made: something removed their folder. */
  readonly renew: Effect.Effect<void>
}

const pairsPerBatch = 64

/** So many pairs stay open for the next agents, while there are others. */
const mostOpen = 64

/** How long no others are tried after they could not be made. Milliseconds. */
const pause = 10_000

/**
 * Nobody but the daemon's user gets into their folder. The write permission is for an agent that sudo runs as another
 * user: opening `/dev/stderr` asks for it.
 */
const mode = "0622"

/** Where FIFOs are made, and where in its stead when that is full, or broken. */
const usualPlace = (): string => os.tmpdir()
const otherPlace = "/dev/shm"

const mkfifo = (files: ReadonlyArray<string>) =>
  promisify(execFile)("mkfifo", ["-m", mode, ...files], { timeout: 10_000, killSignal: "SIGKILL" })

/** A folder with its sign of life. */
interface Claimed {
  readonly folder: string
  readonly claim: number
}

const claimIn = async (parent: string): Promise<Claimed> => {
  const folder = await FifoFolder.make(parent)
  try {
    await mkfifo([FifoFolder.signOf(folder)])
    return { folder, claim: FifoFolder.claim(folder) }
  } catch (cause) {
    FifoFolder.remove(folder)
    throw cause
  }
}

/** One that can't be removed is named when its folder can't. */
const remove = (pair: FifoPair): void => {
  pair.close()
  for (const file of pair.paths)
    try {
      fs.unlinkSync(file)
    } catch {}
}

/** The next of those that are open. Who knows the path of one can have opened it again since its end, and the relay would hear it. */
const nextUnused = (open: Array<FifoPair>): FifoPair | undefined => {
  const pair = open.pop()
  if (!pair?.isUsed) return pair
  remove(pair)
  return nextUnused(open)
}

const batchIn = async (folder: string): Promise<ReadonlyArray<FifoPair>> => {
  const batch = Array.from({ length: pairsPerBatch }, () => new FifoPair(folder, FifoFolder.newName(folder)))
  try {
    await mkfifo(batch.flatMap(({ paths }) => paths))
    return batch
  } catch (cause) {
    for (const pair of batch) remove(pair)
    throw cause
  }
}

/** Removes a folder; one that can't be removed is said. */
const discard = (folder: string) =>
  Effect.try({ try: () => FifoFolder.remove(folder), catch: SpawnFailure.from }).pipe(
    Effect.catchIf(
      ({ code }) => code === "ENOENT",
      () => Effect.void
    ),
    Effect.catchAll(({ message }) =>
      Effect.logWarning("a folder of FIFOs can't be removed").pipe(
        Effect.annotateLogs({ folder, cause: message })
      )
    )
  )

/** Removes what daemons left that were killed. A place that can't be read has nothing that could be removed. */
const discardAbandoned = Effect.suspend(() =>
  Effect.forEach(
    new Set([usualPlace(), otherPlace]),
    (place) =>
      Effect.try(() => FifoFolder.abandoned(place)).pipe(
        Effect.orElseSucceed((): ReadonlyArray<string> => []),
        Effect.flatMap(Effect.forEach(discard, { discard: true }))
      ),
    { discard: true }
  )
)

/** Those of one folder: at rest, open for the next agents, and an agent's. */
class Pool {
  private readonly resting: Array<FifoPair> = []
  /** Go first. */
  private readonly open: Array<FifoPair> = []
  private readonly taken = new Set<FifoPair>()

  add(pairs: ReadonlyArray<FifoPair>): void {
    this.resting.push(...pairs)
  }

  /** Undefined: there is none. */
  take(): FifoPair | undefined {
    const pair = nextUnused(this.open) ?? this.resting.pop()
    if (pair !== undefined) this.taken.add(pair)
    return pair
  }

  give(pair: FifoPair): void {
    if (pair.isOpen && this.open.length < mostOpen) this.open.push(pair)
    else this.rest(pair)
  }

  /** No agent has it any more. Where none has any, none stays open. */
  drop(pair: FifoPair): void {
    this.taken.delete(pair)
    if (this.taken.size === 0) for (const one of this.open.splice(0)) this.rest(one)
  }

  /** Forgets all but those that agents have. */
  clear(): void {
    for (const pair of this.open.splice(0)) pair.close()
    this.resting.length = 0
  }

  private rest(pair: FifoPair): void {
    pair.close()
    this.resting.push(pair)
  }
}

/** The folder of FIFOs is removed at the end of the scope. Folders of daemons that were killed are removed before this returns. */
export const make = Effect.gen(function* () {
  const alone = Permits.make(1)
  const pool = new Pool()
  let current: Claimed | undefined
  let failure: SpawnFailure.SpawnFailure | undefined
  let tryAgainAt = 0

  yield* discardAbandoned
  const renew = Effect.suspend(() => {
    pool.clear()
    if (current === undefined) return Effect.void
    const { folder, claim } = current
    current = undefined
    fs.closeSync(claim)
    return discard(folder)
  })
  yield* Effect.addFinalizer(() => renew)

  const fill = (place: string) =>
    Effect.tryPromise({
      try: async () => {
        const claimed = current ?? (await claimIn(place))
        current = claimed
        pool.add(await batchIn(claimed.folder))
      },
      catch: SpawnFailure.from
    }).pipe(
      // The other place, or the next time, begins with a new folder.
      Effect.tapError(() => renew)
    )

  const refill = fill(usualPlace()).pipe(
    Effect.catchAll((cause) => Effect.mapError(fill(otherPlace), () => cause)),
    Effect.tapBoth({
      onSuccess: () =>
        Effect.sync(() => {
          failure = undefined
        }),
      onFailure: (cause) =>
        Effect.gen(function* () {
          const known = failure !== undefined
          failure = cause
          tryAgainAt = (yield* Clock.currentTimeMillis) + pause
          if (!known)
            yield* Effect.logWarning(
              "no FIFOs for the output of agents: those that open /dev/stdout or /dev/stderr will fail"
            ).pipe(Effect.annotateLogs({ cause: cause.message }))
        })
    }),
    // Uninterruptible: whatever has been made is in `pool` or `current`.
    Effect.uninterruptible
  )

  const next: Fifos["take"] = Effect.gen(function* () {
    const pair = pool.take()
    if (pair !== undefined) return pair
    if (failure !== undefined && (yield* Clock.currentTimeMillis) < tryAgainAt) return yield* failure
    yield* refill
    return yield* next
  })

  const fifos: Fifos = {
    take: Effect.suspend(() => {
      const pair = pool.take()
      return pair === undefined ? alone(next) : Effect.succeed(pair)
    }),
    give: (pair) => {
      if (pair.folder === current?.folder) pool.give(pair)
      else remove(pair)
      pool.drop(pair)
    },
    remove: (pair) => {
      remove(pair)
      pool.drop(pair)
    },
    renew
  }
  return fifos
})
