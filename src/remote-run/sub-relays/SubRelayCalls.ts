/** The calls that hand runs to sub-relays, and the cancels that follow them. */
import { Cause, Deferred, Duration, Effect, Exit, Fiber, FiberSet, Layer, Option, Scope } from "effect"
import { RelayConfig } from "../../config/RelayConfig.ts"
import { isHostname } from "../../Hostname.ts"
import { type Peer, PeerClient } from "../../peers/PeerClient.ts"
import { unreachable } from "../../peers/PeerUnreachable.ts"
import type { UpstreamFatal } from "../../RelayError.ts"
import { Certificates } from "../../topology/Certificates.ts"
import type { Node } from "../../topology/Node.ts"
import type { NodeEnding } from "../journal/NodeLog.ts"
import type { RunId } from "../RunId.ts"
import { cancel, converse, Gate, type Outcome } from "./Conversation.ts"
import * as RunForms from "./RunForms.ts"
import { RunMerge } from "./RunMerge.ts"
import { type SubRelayOrder, SubRelays, type SubRelaysService } from "./SubRelays.ts"

/** A cancel that does not arrive in this time is given up: the sub-relay may be gone, and nobody waits for it here. */
const cancelWithin = Duration.seconds(3)

const failure = (relay: Node, { message }: { readonly message: string }): NodeEnding => ({
  code: null,
  error: { _tag: "UpstreamFatal", message: `sub-relay ${relay.id}: ${message}` }
})

/** What nodes without an end are told when the call is over. */
const missing = (relay: Node, outcome: Outcome): NodeEnding =>
  outcome === "unreported"
    ? { code: null, unreported: true }
    : failure(relay, { message: "did not report this node" })

const make = Effect.gen(function* () {
  const { general, remoteRun } = yield* RelayConfig
  // Where an agent takes longest, the last word is that it is ended.
  const longestAgent = Duration.sum(remoteRun.timeout, Duration.minutes(1))
  const client = yield* PeerClient
  const certificates = yield* Certificates
  const cancels = yield* FiberSet.make<void>()
  const conversations = yield* Scope.make()
  yield* Effect.addFinalizer((exit) =>
    Effect.andThen(FiberSet.awaitEmpty(cancels), Scope.close(conversations, exit))
  )

  const peerOf = (relay: Node): Peer => ({
    url: new URL(`https://${relay.hostname}:${general.httpsPort}`),
    keys: Effect.flatMap(certificates.forNode(relay.id), (known) =>
      known.length === 0
        ? unreachable("certificate", `no certificate of node ${relay.id} is known`)
        : Effect.succeed(known.map(({ publicKey }) => publicKey))
    )
  })

  /** What was sent runs, whoever leaves: it has to be told to stop, once it is known under which id it runs. */
  const leave = (
    relay: Node,
    peer: Peer,
    conversation: Fiber.RuntimeFiber<Outcome, UpstreamFatal>,
    run: Deferred.Deferred<RunId>
  ) =>
    Effect.gen(function* () {
      const id = yield* Effect.raceFirst(
        Effect.asSome(Deferred.await(run)),
        Effect.as(Fiber.await(conversation), Option.none<RunId>())
      )
      if (Option.isSome(id)) yield* cancel(peer, id.value)
    }).pipe(
      Effect.provideService(PeerClient, client),
      Effect.timeoutFail({
        duration: cancelWithin,
        onTimeout: () => ({ message: `not in ${Duration.format(cancelWithin)}` })
      }),
      Effect.catchAll(({ message }) =>
        Effect.logWarning("a run could not be cancelled on a sub-relay").pipe(
          Effect.annotateLogs({ relay: relay.id, problem: message })
        )
      ),
      Effect.ensuring(Fiber.interrupt(conversation))
    )

  const call = ({ relay, report, output }: SubRelayOrder, { nodes, body }: RunForms.RunForm) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        const run = yield* Deferred.make<RunId>()
        const gate = new Gate()
        const merge = new RunMerge({
          relay: relay.id,
          nodes,
          report,
          onRun: (id) => Deferred.unsafeDone(run, Exit.succeed(id)),
          resume: gate.open
        })
        const peer = peerOf(relay)
        let sent = false
        const onSent = () => {
          sent = true
        }
        const conversation = yield* converse({
          peer,
          form: body,
          merge,
          output,
          gate,
          onSent,
          longestAgent
        }).pipe(
          Effect.scoped,
          Effect.provideService(PeerClient, client),
          Effect.interruptible,
          Effect.forkIn(conversations)
        )
        const left = Effect.suspend((): Effect.Effect<unknown> => {
          merge.close()
          return sent
            ? FiberSet.run(cancels, Effect.interruptible(leave(relay, peer, conversation, run)))
            : Fiber.interrupt(conversation)
        })
        const exit = yield* restore(Fiber.await(conversation)).pipe(Effect.onInterrupt(() => left))
        yield* logUnreadable(merge)
        yield* finish(relay, merge, exit)
      })
    )

  return {
    run: (order) =>
      Effect.suspend(() => {
        const { relay, nodes, classes, report } = order
        if (isHostname(relay.hostname))
          return Effect.forEach(RunForms.make(nodes, classes), (form) => call(order, form), {
            concurrency: "unbounded",
            discard: true
          })
        const message = `the nodes list has no valid hostname for it: ${JSON.stringify(relay.hostname)}`
        for (const node of nodes) report(node).end(failure(relay, { message }))
        return Effect.void
      }).pipe(Effect.withSpan("SubRelays.run", { attributes: { relay: order.relay.id } }))
  } satisfies SubRelaysService
})

const logUnreadable = ({ unreadable }: RunMerge) =>
  unreadable === undefined
    ? Effect.void
    : Effect.logWarning("a sub-relay said what can't be read").pipe(
        Effect.annotateLogs({ events: unreadable.count, problem: unreadable.first })
      )

const finish = (relay: Node, merge: RunMerge, exit: Exit.Exit<Outcome, UpstreamFatal>) =>
  Exit.match(exit, {
    onSuccess: (outcome) => Effect.sync(() => merge.endAll(missing(relay, outcome))),
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
