/** Hashes of large contents, made on a thread of their own: so much of it would hold up everybody else. */
import { createHash } from "node:crypto"
import { Worker } from "node:worker_threads"
import { Context, Effect, Layer, Schema, type Scope } from "effect"
import type { HashAlgorithm } from "./ContentHash.ts"

/** The hash of one content, made in pieces. */
export interface Hashing {
  /** Bytes in shared memory; resolves when they may be overwritten. */
  readonly update: (bytes: Uint8Array) => Promise<void>
  /** The hash of all, and of these last bytes. What comes in one piece is hashed here and now. */
  readonly digest: (last: Uint8Array) => Promise<Buffer>
}

export class Hasher extends Context.Tag("rudder-relay/Hasher")<
  Hasher,
  {
    /** A hash that is forgotten with its scope. */
    readonly begin: (algorithm: HashAlgorithm) => Effect.Effect<Hashing, never, Scope.Scope>
  }
>() {
  /** Its thread starts with the first content that comes in more than one piece. */
  static readonly layer = Layer.scoped(
    Hasher,
    Effect.map(
      Effect.acquireRelease(
        Effect.sync(() => new Thread()),
        (thread) => Effect.promise(() => thread.stop())
      ),
      (thread) =>
        Hasher.of({
          begin: (algorithm) =>
            Effect.acquireRelease(
              Effect.sync(() => new Pieces(thread, algorithm)),
              (pieces) => Effect.sync(() => pieces.forget())
            )
        })
    )
  )
}

const Answer = Schema.Struct({ id: Schema.Number, digest: Schema.optional(Schema.Uint8ArrayFromSelf) })
const isAnswer = Schema.is(Answer)

interface Question {
  readonly resolve: (digest: Uint8Array | undefined) => void
  readonly reject: (cause: unknown) => void
}

/** The thread, and those who wait for its answers, in the order they asked. */
class Thread {
  private worker: Worker | undefined
  private readonly questions = new Map<number, Array<Question>>()
  private ids = 0

  newId(): number {
    return ++this.ids
  }

  post(message: object): void {
    this.started().postMessage(message)
  }

  ask(id: number, message: object): Promise<Uint8Array | undefined> {
    return new Promise((resolve, reject) => {
      const waiting = this.questions.get(id) ?? []
      waiting.push({ resolve, reject })
      this.questions.set(id, waiting)
      this.post({ id, ...message })
    })
  }

  async stop(): Promise<void> {
    await this.worker?.terminate()
  }

  private started(): Worker {
    if (this.worker !== undefined) return this.worker
    const worker = new Worker(new URL("./hasher.mjs", import.meta.url))
    worker.unref()
    worker.on("message", (message: unknown) => {
      if (!isAnswer(message)) return
      const waiting = this.questions.get(message.id) ?? []
      const [question] = waiting.splice(0, 1)
      if (waiting.length === 0) this.questions.delete(message.id)
      question?.resolve(message.digest)
    })
    worker.on("error", (cause) => this.end(cause))
    worker.on("exit", () => this.end(new Error("the hashing thread ended")))
    this.worker = worker
    return worker
  }

  /** What was begun on a thread that is gone can't be finished; the next to begin starts another. */
  private end(cause: Error): void {
    this.worker = undefined
    const waiting = [...this.questions.values()].flat()
    this.questions.clear()
    for (const { reject } of waiting) reject(cause)
  }
}

class Pieces implements Hashing {
  private id: number | undefined
  private readonly thread: Thread
  private readonly algorithm: HashAlgorithm

  constructor(thread: Thread, algorithm: HashAlgorithm) {
    this.thread = thread
    this.algorithm = algorithm
  }

  async update(bytes: Uint8Array): Promise<void> {
    if (this.id === undefined) {
      this.id = this.thread.newId()
      this.thread.post({ id: this.id, algorithm: this.algorithm })
    }
    await this.thread.ask(this.id, { bytes })
  }

  async digest(last: Uint8Array): Promise<Buffer> {
    const { id } = this
    if (id === undefined) return createHash(this.algorithm).update(last).digest()
    await this.update(last)
    const digest = await this.thread.ask(id, { end: true })
    if (digest === undefined) throw new Error("the hashing thread lost a hash")
    return Buffer.from(digest)
  }

  forget(): void {
    if (this.id !== undefined) this.thread.post({ id: this.id, forget: true })
  }
}
