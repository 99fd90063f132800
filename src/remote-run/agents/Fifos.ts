/**
 * The pipes that agents write to.
 *
 * Node's own "pipes" are sockets, which a program can't open by name (`echo > /dev/stderr`). FIFOs are pipes, and only a
 * program can make them: `mkfifo` makes many at once, each is used for one stream of one agent.
 */
import { execFile } from "node:child_process"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { promisify } from "node:util"
import { Effect, Option } from "effect"
import * as SpawnFailure from "./SpawnFailure.ts"

/** Paths of two FIFOs that nobody used yet: for stdout and stderr. */
export type FifoPair = readonly [stdout: string, stderr: string]

export interface Fifos {
  /** None: they can't be made here, and ordinary pipes have to do. */
  readonly take: Effect.Effect<Option.Option<FifoPair>>
  /** Forgets those that were made: something removed their folder. */
  readonly renew: Effect.Effect<void>
}

const pairsPerBatch = 64

/**
 * Nobody but the daemon's user gets into their folder. The write permission is for an agent that sudo runs as another
 * user: opening `/dev/stderr` asks for it.
 */
const mode = "0622"

/** The folder is removed at the end of the scope. */
export const make = Effect.gen(function* () {
  const one = yield* Effect.makeSemaphore(1)
  const folders = new Set<string>()
  const pairs: Array<FifoPair> = []
  let unavailable = false

  yield* Effect.addFinalizer(() =>
    Effect.promise(() =>
      Promise.allSettled(
        Array.from(folders, (folder) => fs.promises.rm(folder, { recursive: true, force: true }))
      )
    )
  )

  const makeBatch = Effect.tryPromise({
    try: async (): Promise<ReadonlyArray<FifoPair>> => {
      const [folder = await fs.promises.mkdtemp(path.join(os.tmpdir(), "rudder-relay-"))] = folders
      folders.add(folder)
      const batch = Array.from({ length: pairsPerBatch }, (): FifoPair => {
        const name = path.join(folder, randomUUID())
        return [`${name}.out`, `${name}.err`]
      })
      await promisify(execFile)("mkfifo", ["-m", mode, ...batch.flat()], { timeout: 10_000 })
      return batch
    },
    catch: SpawnFailure.from
  })

  const refill = makeBatch.pipe(
    Effect.tap((batch) => Effect.sync(() => pairs.push(...batch))),
    Effect.catchAll((cause) =>
      Effect.suspend(() => {
        unavailable = true
        return Effect.logWarning(
          "no FIFOs for the output of agents: those that open /dev/stdout or /dev/stderr will fail"
        ).pipe(Effect.annotateLogs({ cause: cause.message }))
      })
    )
  )

  const fifos: Fifos = {
    take: Effect.suspend(() => (pairs.length === 0 && !unavailable ? refill : Effect.void)).pipe(
      Effect.map(() => Option.fromNullable(pairs.pop())),
      one.withPermits(1)
    ),
    renew: Effect.sync(() => {
      pairs.length = 0
      folders.clear()
    })
  }
  return fifos
})

/** Both ends of a pipe, open. */
export interface Pipe {
  readonly readEnd: number
  readonly writeEnd: number
}

/** Opens both ends of a FIFO. Throws what `fs` throws; nothing is left open then. */
export const open = (fifo: string): Pipe => {
  // Without O_NONBLOCK this waits for a writer, with it the writer finds its reader there.
  const readEnd = fs.openSync(fifo, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK)
  try {
    return { readEnd, writeEnd: fs.openSync(fifo, fs.constants.O_WRONLY) }
  } catch (cause) {
    fs.closeSync(readEnd)
    throw cause
  }
}
