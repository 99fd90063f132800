/**
 * Commits of small files, each done from its first step to its last by a thread. To ask node's own threads for every step
 * would cost a hundred microseconds each, to wake them and to be woken.
 *
 * What comes while all threads are at work waits, and goes to the next that is free in one piece: so commits that come
 * together share the syncs of their folders.
 */
import { Worker } from "node:worker_threads"
import { Effect, type Scope } from "effect"
import source from "./commits.mjs?raw"
import { DiskError, type DiskService, type DiskStep } from "./Disk.ts"

/** More of them would leave less to share. */
const mostThreads = 2

interface Commit {
  readonly steps: ReadonlyArray<DiskStep>
  readonly ended: (outcome: Effect.Effect<void, DiskError>) => void
}

interface Failure {
  readonly message: string
  readonly code?: string | undefined
}

const outcomeOf = (failure: Failure | null): Effect.Effect<void, DiskError> =>
  failure === null ? Effect.void : new DiskError({ message: failure.message, code: failure.code })

/** Does commits one batch after the other; `free` is called after each, `gone` at its end. */
const startThread = (free: (thread: Thread) => void, gone: () => void): Thread => {
  // Not from a file beside this one, which would be lost where a program is bundled that embeds the relay.
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`))
  let batch: ReadonlyArray<Commit> = []
  const tell = (failures: ReadonlyArray<Failure | null>) => {
    const told = batch
    batch = []
    for (const [at, { ended }] of told.entries()) ended(outcomeOf(failures[at] ?? null))
  }
  const fail = ({ message }: Error) => tell(batch.map(() => ({ message })))
  worker.unref()
  // It is our own thread, which answers with one outcome for each commit.
  worker.on("message", (failures: ReadonlyArray<Failure | null>) => {
    tell(failures)
    free(thread)
  })
  worker.on("error", fail)
  worker.on("exit", () => {
    fail(new Error("a thread that commits to the disk ended"))
    gone()
  })
  const thread: Thread = {
    work: (commits) => {
      batch = commits
      worker.postMessage(commits.map(({ steps }) => steps))
    },
    stop: Effect.promise(() => worker.terminate())
  }
  return thread
}

interface Thread {
  readonly work: (commits: ReadonlyArray<Commit>) => void
  readonly stop: Effect.Effect<unknown>
}

/** Threads that start when there is something for them to do, and end with the scope, when nobody waits for them any more. */
export const make: Effect.Effect<DiskService["sequence"], never, Scope.Scope> = Effect.gen(function* () {
  const threads = new Set<Thread>()
  const idle: Array<Thread> = []
  const waiting: Array<Commit> = []

  const handOut = () => {
    if (waiting.length === 0) return
    const thread = idle.pop() ?? (threads.size < mostThreads ? start() : undefined)
    thread?.work(waiting.splice(0))
  }

  const start = (): Thread => {
    const thread = startThread(
      (one) => {
        idle.push(one)
        handOut()
      },
      () => {
        threads.delete(thread)
        if (idle.includes(thread)) idle.splice(idle.indexOf(thread), 1)
        handOut()
      }
    )
    threads.add(thread)
    return thread
  }

  yield* Effect.addFinalizer(() => Effect.forEach(threads, ({ stop }) => stop))
  // What was begun goes on to its end, whoever still waits for it.
  return (steps) =>
    Effect.uninterruptible(
      Effect.async((resume) => {
        waiting.push({ steps, ended: resume })
        handOut()
      })
    )
})
