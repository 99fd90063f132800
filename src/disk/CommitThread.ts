/**
 * Commits of small files, each done from its first step to its last by a thread of its own. To ask node's threads for
 * every step would cost a hundred microseconds each, to wake them and to be woken.
 *
 * What comes in one turn of the event loop, up to a full batch, or while the thread has enough to do, goes to it in one
 * piece: so commits that come together share the syncs of their folders, and their files are synced side by side, so that
 * the disk's journal takes them together; and to wake the thread costs as much as to tell it of a commit.
 */
import { Worker } from "node:worker_threads"
import { Effect, type Scope } from "effect"
import { Bag } from "../Bag.ts"
import source from "./commits.mjs?raw"
import { DiskError, type DiskService, type DiskStep } from "./Disk.ts"

/** While the one is synced, the other is written. More of them would leave less to share. */
const mostBatches = 2

/**
 * So many do not wait for those that may still come in this turn. Callers who are answered together send their next together
 * too: were all of these one batch, the thread and the event loop would work by turns, and not side by side.
 */
const fullBatch = 16

interface Commit {
  readonly steps: ReadonlyArray<DiskStep>
  readonly ended: (outcome: Effect.Effect<void, DiskError>) => void
}

/** What a step has, in this order: its tag, path (of `Rename` that is `from`), `to`, mode, bytes, modified, at, length. */
type Field = string | number | Uint8Array | undefined

const tell = (told: Array<Field>, step: DiskStep): void => {
  switch (step._tag) {
    case "Write":
      told.push(step._tag, step.path, "", step.mode, step.bytes, step.modified, 0, 0)
      return
    case "Note":
      told.push(step._tag, step.path, "", step.mode, step.bytes, undefined, step.at, step.length ?? 0)
      return
    case "MakeFolder":
      told.push(step._tag, step.path, "", step.mode, "", undefined, 0, 0)
      return
    case "Rename":
      told.push(step._tag, step.from, step.to, 0, "", undefined, 0, 0)
      return
    default:
      told.push(step._tag, step.path, "", 0, "", undefined, 0, 0)
  }
}

/**
 * Commits as the thread is told of them: of each the number of its steps, and then these, field by field. To hand over a list
 * of objects takes both sides twice as long.
 */
export const flat = (commits: ReadonlyArray<ReadonlyArray<DiskStep>>): ReadonlyArray<Field> => {
  const told: Array<Field> = []
  for (const steps of commits) {
    told.push(steps.length)
    for (const step of steps) tell(told, step)
  }
  return told
}

interface Failure {
  readonly message: string
  readonly code?: string | undefined
}

/** What the thread was told, and has not answered. */
interface Batch {
  readonly id: number
  readonly commits: ReadonlyArray<Commit>
}

/** How the commits of a batch ended, each in its place. */
interface Answer {
  readonly id: number
  readonly failures: ReadonlyArray<Failure | null>
}

interface Thread {
  readonly worker: Worker
  /** A few, and no Map (`Bag`): all that waits for them would be kept alive. */
  readonly batches: Bag<Batch>
}

const outcomeOf = (failure: Failure | null | undefined): Effect.Effect<void, DiskError> =>
  failure == null ? Effect.void : new DiskError({ message: failure.message, code: failure.code })

/** `free` is called when a batch has ended, and when the thread has. */
const startThread = (free: () => void, gone: () => void): Thread => {
  // Not from a file beside this one, which would be lost where a program is bundled that embeds the relay.
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`))
  const thread: Thread = { worker, batches: new Bag() }
  const fail = ({ message }: Error) => {
    const left = [...thread.batches]
    for (const batch of left) thread.batches.remove(batch)
    for (const { commits } of left) for (const { ended } of commits) ended(outcomeOf({ message }))
  }
  worker.unref()
  // It is our own thread, which answers each batch once.
  worker.on("message", ({ id, failures }: Answer) => {
    const told = [...thread.batches].find((batch) => batch.id === id)
    if (told === undefined) return
    thread.batches.remove(told)
    free()
    for (const [at, { ended }] of told.commits.entries()) ended(outcomeOf(failures[at]))
  })
  worker.on("error", fail)
  worker.on("exit", () => {
    fail(new Error("the thread that commits to the disk ended"))
    gone()
  })
  return thread
}

/** A thread that starts when there is something for it to do, and ends with the scope, when nobody waits for it any more. */
export const make: Effect.Effect<DiskService["sequence"], never, Scope.Scope> = Effect.gen(function* () {
  const waiting: Array<Commit> = []
  let thread: Thread | undefined
  let ids = 0
  let isTold = false

  const handOut = () => {
    if (waiting.length === 0) return
    thread ??= startThread(handOut, () => {
      thread = undefined
      handOut()
    })
    if (thread.batches.size >= mostBatches) return
    const batch = waiting.splice(0)
    const id = ++ids
    thread.batches.add({ id, commits: batch })
    thread.worker.postMessage({ id, commits: flat(batch.map(({ steps }) => steps)) })
  }

  yield* Effect.addFinalizer(() => Effect.promise(async () => void (await thread?.worker.terminate())))
  // What was begun goes on to its end, whoever still waits for it.
  return (steps) =>
    Effect.uninterruptible(
      Effect.async((resume) => {
        waiting.push({ steps, ended: resume })
        if (waiting.length >= fullBatch) handOut()
        if (isTold) return
        isTold = true
        setImmediate(() => {
          isTold = false
          handOut()
        })
      })
    )
})
