/** The calls that hand runs to sub-relays, and the cancels that follow them. */
import { Cause, Deferred, Duration, Effect, Exit, Fiber, FiberSet, Layer, Option, Scope } from "effect"
import { RelayConfig } from "../../config/RelayConfig.ts"
import { isHostname } from "../../Hostname.ts"
import { type Peer, PeerClient, type PeerClientService } from "../../peers/PeerClient.ts"
import { unreachable } from "../../peers/PeerUnreachable.ts"
import * as Race from "../../Race.ts"
import type { UpstreamFatal } from "../../RelayError.ts"
import { Certificates, type CertificatesService } from "../../topology/Certificates.ts"
import type { Node } from "../../topology/Node.ts"
import type { NodeEnding } from "../RunEvent.ts"
import type { RunId } from "../RunId.ts"
import type { HowMuch } from "./Answer.ts"
import { cancel, converse } from "./Conversation.ts"
import { noOutage } from "./Resumption.ts"
import * as RunForms from "./RunForms.ts"
import { RunMerge } from "./RunMerge.ts"
import { type SubRelayOrder, SubRelays, type SubRelaysService } from "./SubRelays.ts"

/** So long a stop waits for cancels to arrive, and a cancel is tried at least: the sub-relay may be gone. */
const cancelWithin = Duration.seconds(3)

const failure = (relay: Node, { message }: { readonly message: string }): NodeEnding => ({
  code: null,
  error: { _tag: "UpstreamFatal", message: `sub-relay ${relay.id}: ${message}` }
})

/** What nodes without an end are told when the call is over. */
const missing = (relay: Node, howMuch: HowMuch): NodeEnding =>
  howMuch === "unreported"
    ? { code: null, unreported: true }
    : failure(relay, { message: "did not report this node" })

interface Parts {
  readonly client: PeerClientService
  readonly peerOf: (relay: Node) => Peer
  /** So long an agent may be silent, and an older relay with it. */
  readonly longestAgent: Duration.Duration
  /** So long a stream that was cut is tried to be taken up again. */
  readonly reconnect: Duration.Duration
  /** Cancels that are under way: they outlive the runs that they end. */
  readonly cancels: FiberSet.FiberSet<void>
  /** Conversations go on here until they are told to stop, also when their run has left. */
  readonly conversations: Scope.CloseableScope
}

/** What `layer` has. */
export const make = Effect.gen(function* () {
  const { general, remoteRun } = yield* RelayConfig
  const certificates = yield* Certificates
  const cancels = yield* FiberSet.make<void>()
  const conversations = yield* Scope.make()
  yield* Effect.addFinalizer((exit) =>
    Race.atMost(FiberSet.awaitEmpty(cancels), cancelWithin).pipe(
      Effect.andThen(FiberSet.clear(cancels)),
      Effect.andThen(Scope.close(conversations, exit))
    )
  )
  const parts: Parts = {
    client: yield* PeerClient,
    peerOf: (relay) => peerOf(certificates, general.httpsPort, relay),
    // An agent may be silent until its time-out, and its relay needs a moment to say that it was ended.
    longestAgent: Duration.sum(remoteRun.timeout, Duration.minutes(1)),
    reconnect: remoteRun.reconnect,
    cancels,
    conversations
  }
  return { run: (order) => run(parts, order) } satisfies SubRelaysService
})

const peerOf = (certificates: CertificatesService, httpsPort: number, relay: Node): Peer => ({
  url: new URL(`https://${relay.hostname}:${httpsPort}`),
  keys: Effect.flatMap(certificates.forNode(relay.id), (known) =>
    known.length === 0
      ? unreachable("certificate", `no certificate of node ${relay.id} is known`)
      : Effect.succeed(known.map(({ publicKey }) => publicKey))
  )
})

const run = Effect.fn("SubRelays.run")(function* (parts: Parts, order: SubRelayOrder) {
  const { relay, nodes, classes, by, report } = order
  yield* Effect.annotateCurrentSpan("relay", relay.id)
  if (isHostname(relay.hostname))
    return yield* Effect.forEach(RunForms.make(nodes, classes, by), (form) => call(parts, order, form), {
      concurrency: "unbounded",
      discard: true
    })
  const message = `the nodes list has no valid hostname for it: ${JSON.stringify(relay.hostname)}`
  for (const node of nodes) report(node).end(failure(relay, { message }))
})

/** One form's call, which goes on by itself, so that who leaves can still tell the sub-relay to stop. */
const call = (parts: Parts, order: SubRelayOrder, { nodes, body }: RunForms.RunForm) =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const { relay, report, output } = order
      const run = yield* Deferred.make<RunId>()
      const room = yield* Effect.makeLatch(true)
      const merge = new RunMerge({
        relay: relay.id,
        nodes,
        report,
        onRun: (id) => Deferred.unsafeDone(run, Exit.succeed(id)),
        resume: () => room.unsafeOpen()
      })
      const peer = parts.peerOf(relay)
      let sent = false
      const onSent = () => {
        sent = true
      }
      const { longestAgent, reconnect } = parts
      const conversation = yield* converse({
        peer,
        form: body,
        merge,
        output,
        room,
        onSent,
        longestAgent,
        reconnect,
        outage: noOutage()
      }).pipe(
        Effect.provideService(PeerClient, parts.client),
        Effect.interruptible,
        Effect.forkIn(parts.conversations)
      )
      const left = Effect.suspend((): Effect.Effect<unknown> => {
        merge.close()
        const leaving = leave(parts, { relay, peer, conversation, run })
        return sent
          ? FiberSet.run(parts.cancels, Effect.interruptible(leaving))
          : Fiber.interrupt(conversation)
      })
      const exit = yield* restore(Fiber.await(conversation)).pipe(Effect.onInterrupt(() => left))
      yield* logUnreadable(merge)
      yield* finish(relay, merge, exit)
    })
  )

/** A call whose order may have arrived. */
interface SentCall {
  readonly relay: Node
  readonly peer: Peer
  readonly conversation: Fiber.RuntimeFiber<HowMuch, UpstreamFatal>
  /** Under which id the order runs there. */
  readonly run: Deferred.Deferred<RunId>
}

/**
 * What was sent runs, whoever leaves: it has to be told to stop, once it is known under which id it runs. Nobody waits for
 * that here, so it is tried for as long as a stream would be taken up again.
 */
const leave = ({ client, reconnect }: Parts, { relay, peer, conversation, run }: SentCall) => {
  const patience = Duration.max(reconnect, cancelWithin)
  return Effect.gen(function* () {
    const id = yield* Effect.raceFirst(
      Effect.asSome(Deferred.await(run)),
      Effect.as(Fiber.await(conversation), Option.none<RunId>())
    )
    // What the run says from now on is nobody's.
    if (Option.isSome(id)) yield* Effect.andThen(Fiber.interrupt(conversation), cancel(peer, id.value))
  }).pipe(
    Effect.provideService(PeerClient, client),
    Effect.timeoutFail({
      duration: patience,
      onTimeout: () => ({ message: `not in ${Duration.format(patience)}` })
    }),
    Effect.catchAll(({ message }) => logGoesOn(relay, message)),
    Effect.onInterrupt(() => logGoesOn(relay, "the relay stopped before the sub-relay answered")),
    Effect.ensuring(Fiber.interrupt(conversation))
  )
}

const logGoesOn = (relay: Node, problem: string) =>
  Effect.logWarning("a run could not be cancelled on a sub-relay").pipe(
    Effect.annotateLogs({ relay: relay.id, problem })
  )

const logUnreadable = ({ unreadable }: RunMerge) =>
  unreadable === undefined
    ? Effect.void
    : Effect.logWarning("a sub-relay said what can't be read").pipe(
        Effect.annotateLogs({ events: unreadable.count, problem: unreadable.first })
      )

const finish = (relay: Node, merge: RunMerge, exit: Exit.Exit<HowMuch, UpstreamFatal>) =>
  Exit.match(exit, {
    onSuccess: (howMuch) => Effect.sync(() => merge.endAll(missing(relay, howMuch))),
    onFailure: (cause) => {
      const error = Option.getOrUndefined(Cause.failureOption(cause))
      merge.endAll(failure(relay, error ?? { message: "internal error; the relay's log has it" }))
      return error === undefined
        ? Effect.logError("a call of a sub-relay failed", cause)
        : Effect.logWarning("a sub-relay could not be heard to the end").pipe(
            Effect.annotateLogs({ problem: error.message })
          )
    }
  })

/** Over HTTPS, to the hosts of the nodes list. At its end, cancels that are under way have a moment to arrive. */
export const layer = Layer.scoped(SubRelays, make)
