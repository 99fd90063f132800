/** Hashes large contents on a thread of their own. */
import { Worker } from "node:worker_threads"
import { Deferred, Effect, FiberId, Layer, Schema } from "effect"
import * as Acquired from "../Acquired.ts"
import * as ContentHash from "./ContentHash.ts"
import { Hasher, type Hashing, HashLost } from "./Hasher.ts"
import source from "./hasher.mjs?raw"

const Answer = Schema.Struct({ id: Schema.Number, digest: Schema.optional(Schema.Uint8ArrayFromSelf) })
const isAnswer = Schema.is(Answer)

type Question = Deferred.Deferred<Uint8Array | undefined, HashLost>

/** The thread, and those who wait for its answers, in the order in which they asked. */
interface Thread {
  readonly newId: () => number
  readonly post: (message: object) => void
  readonly ask: (id: number, message: object) => Effect.Effect<Uint8Array | undefined, HashLost>
  readonly stop: Effect.Effect<void>
}

const makeThread = (): Thread => {
  const questions = new Map<number, Array<Question>>()
  let worker: Worker | undefined
  let ids = 0

  /** What was begun on a thread that is gone can't be finished; the next to begin starts another. */
  const end = (cause: Error) => {
    worker = undefined
    const waiting = [...questions.values()].flat()
    questions.clear()
    for (const question of waiting) Deferred.unsafeDone(question, new HashLost({ message: cause.message }))
  }

  const answered = (answer: typeof Answer.Type) => {
    const waiting = questions.get(answer.id) ?? []
    const question = waiting.shift()
    if (waiting.length === 0) questions.delete(answer.id)
    if (question !== undefined) Deferred.unsafeDone(question, Effect.succeed(answer.digest))
  }

  const started = (): Worker => {
    if (worker !== undefined) return worker
    // Not from a file beside this one, which would be lost where a program is bundled that embeds the relay.
    worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`))
    worker.unref()
    worker.on("message", (message: unknown) => {
      if (isAnswer(message)) answered(message)
    })
    worker.on("error", end)
    worker.on("exit", () => end(new Error("the hashing thread ended")))
    return worker
  }

  const post = (message: object) => started().postMessage(message)
  return {
    newId: () => ++ids,
    post,
    ask: (id, message) => {
      const question: Question = Deferred.unsafeMake(FiberId.none)
      const waiting = questions.get(id) ?? []
      waiting.push(question)
      questions.set(id, waiting)
      post({ id, ...message })
      return Deferred.await(question)
    },
    stop: Effect.promise(async () => {
      await worker?.terminate()
    })
  }
}

/** A hash on the thread, once it has more than a few bytes. */
const hashingOn = (thread: Thread, algorithm: ContentHash.HashAlgorithm) => {
  let id: number | undefined
  const send = (bytes: Uint8Array) => {
    if (id === undefined) {
      id = thread.newId()
      thread.post({ id, algorithm })
    }
    return { id, taken: thread.ask(id, { bytes }) }
  }
  const hashing: Hashing = {
    update: (bytes) => Effect.sync(() => Effect.asVoid(send(bytes).taken)),
    digest: (last) =>
      Effect.suspend(() => {
        if (id === undefined && last.length <= ContentHash.small)
          return Effect.succeed(ContentHash.digestOf(algorithm, last))
        const sent = send(last)
        const digest = thread.ask(sent.id, { end: true })
        return Effect.flatMap(Effect.zipRight(sent.taken, digest), (bytes) =>
          bytes === undefined
            ? new HashLost({ message: "the hashing thread lost a hash" })
            : Effect.succeed(Buffer.from(bytes))
        )
      })
  }
  const forget = Effect.sync(() => {
    if (id !== undefined) thread.post({ id, forget: true })
  })
  return { hashing, forget }
}

/** What `layer` has. */
export const make = Effect.map(
  Effect.acquireRelease(Effect.sync(makeThread), (thread) => thread.stop),
  (thread) =>
    Hasher.of({
      begin: (algorithm) =>
        Effect.map(
          Acquired.acquire(
            () => hashingOn(thread, algorithm),
            ({ forget }) => forget
          ),
          ({ hashing }) => hashing
        )
    })
)

/** The thread starts with the first content that is more than a few bytes. */
export const layer = Layer.scoped(Hasher, make)
