/** A policy server by script: it answers as it is told to, and keeps what it took. */
import { Deferred, Effect, FiberId, Layer } from "effect"
import { UpstreamFatal, UpstreamRejected } from "../RelayError.ts"
import { type SentFile, Upstream, UpstreamUnreachable } from "../shared-files/outbox/Upstream.ts"

/**
 * What becomes of a file that is sent: taken over; refused for good; not taken this time; no connection; silence until
 * `hangs` is done; taken over, and then the connection broke before the answer.
 */
export type Answer = "take" | "reject" | "fail" | "unreachable" | "hang" | "takeAndBreak"

/** A file that came. */
export interface Received {
  readonly name: SentFile["name"]
  readonly ttl: string
  readonly header: string
  readonly content: string
}

/**
 * `Upstream` by script.
 *
 * @example
 * const policyServer = new ScriptedUpstream()
 * policyServer.answer = () => "unreachable"
 * const relay = Relay.liveWith(policyServer.layer)
 * // … a file is shared with a node that is not below this relay: it waits in the outbox
 * policyServer.answer = () => "take"
 * // … and later: policyServer.taken[0]?.content
 */
export class ScriptedUpstream {
  /** Asked for each file that is sent. */
  answer: (file: SentFile) => Answer = () => "take"
  /** What was taken over, in this order. */
  readonly taken: Array<Received> = []
  /** What was sent and refused. */
  readonly rejected: Array<Received> = []
  /** How often something was sent. */
  attempts = 0
  /** Now, of each file; and the most there were of all. */
  readonly sending = new Map<string, number>()
  most = 0
  mostOfOne = 0
  /** What hangs breaks off when this is done. */
  hangs = Deferred.unsafeMake<void>(FiberId.none)

  /** `Upstream.put`: sends a file. */
  readonly put = (file: SentFile) =>
    Effect.gen(this, function* () {
      const key = `${file.name.target}/${file.name.source}/${file.name.fileId}`
      this.attempts++
      const of = (this.sending.get(key) ?? 0) + 1
      this.sending.set(key, of)
      this.mostOfOne = Math.max(this.mostOfOne, of)
      this.most = Math.max(
        this.most,
        [...this.sending.values()].reduce((sum, one) => sum + one, 0)
      )
      return yield* Effect.ensuring(
        this.receive(file),
        Effect.sync(() => this.sending.set(key, (this.sending.get(key) ?? 1) - 1))
      )
    })

  private readonly receive = (file: SentFile) =>
    Effect.gen(this, function* () {
      const answer = this.answer(file)
      if (answer === "unreachable") return yield* new UpstreamUnreachable({ message: "no connection" })
      if (answer === "hang") {
        yield* Deferred.await(this.hangs)
        return yield* new UpstreamUnreachable({ message: "silent" })
      }
      if (answer === "fail") return yield* new UpstreamFatal({ message: "answered 503" })
      const content = yield* Effect.tryPromise({
        try: async () => {
          const parts: Array<Buffer> = []
          for await (const part of file.content()) parts.push(Buffer.from(part))
          return Buffer.concat(parts).toString("utf8")
        },
        catch: (cause) => new UpstreamFatal({ message: `the content can't be read: ${String(cause)}` })
      })
      if (Buffer.byteLength(content) !== file.size)
        return yield* new UpstreamFatal({ message: "the content is not as long as was announced" })
      const { name, ttl, header } = file
      const received = { name, ttl, header, content }
      if (answer === "reject") {
        this.rejected.push(received)
        return yield* new UpstreamRejected({ message: "no", status: 403 })
      }
      this.taken.push(received)
      if (answer === "takeAndBreak") return yield* new UpstreamUnreachable({ message: "it broke off" })
    })

  /** `Upstream.has`: asks for a file. */
  readonly has: Upstream["Type"]["has"] = () =>
    Effect.suspend(() => {
      this.asked++
      const answer = this.hasAnswer
      if (answer === "unreachable") return Effect.fail(new UpstreamUnreachable({ message: "no connection" }))
      return Effect.succeed(answer === "here")
    })
  /** How often it was asked for a file. */
  asked = 0
  /** What it says of a file that it is asked for. */
  hasAnswer: "here" | "absent" | "unreachable" = "absent"

  /** In the place of the real policy server. */
  readonly layer = Layer.succeed(Upstream, { put: this.put, has: this.has })
}
