/**
 * The figures of this relay, for Prometheus. Two of the names are those of Rudder's own relay, and six those of every
 * process; the others are ours. What is counted is counted where it happens (`Counters`); what is now is taken here.
 */
import { Clock, Effect, Metric, Option } from "effect"
import { prefix } from "../Counters.ts"
import { RelayConfig } from "../config/RelayConfig.ts"
import { root } from "../NodeId.ts"
import { RemoteRun } from "../remote-run/RemoteRun.ts"
import { Outbox } from "../shared-files/outbox/Outbox.ts"
import { NodesList } from "../topology/NodesList.ts"
import * as CertificateStatus from "./CertificateStatus.ts"
import * as ProcessFigures from "./ProcessFigures.ts"
import * as PrometheusText from "./PrometheusText.ts"
import * as Room from "./Room.ts"
import * as SystemStatus from "./SystemStatus.ts"
import * as Version from "./Version.ts"

/** A figure of this moment. */
interface Sample {
  readonly name: string
  readonly help: string
  readonly value: number
  readonly labels?: Readonly<Record<string, string>>
}

const ours = (name: string, help: string, value: number, labels: Sample["labels"] = {}): Sample => ({
  name: `${prefix}${name}`,
  help,
  value,
  labels
})

const nodes = Effect.gen(function* () {
  const list = yield* NodesList
  const { mine, size } = yield* list.current
  const status = yield* list.status
  const freshness = yield* SystemStatus.freshnessOf(list)
  const now = yield* Clock.currentTimeMillis
  return [
    {
      name: "rudder_relayd_managed_nodes_total",
      help: "Nodes whose policy server is this relay",
      value: mine
    },
    {
      name: "rudder_relayd_sub_nodes_total",
      help: "All nodes below this relay, as the nodes list has them",
      value: size
    },
    ours(
      "nodes_list_ok",
      "Whether the nodes list could be loaded when it was last tried",
      status._tag === "Success" ? 1 : 0
    ),
    ...Option.toArray(freshness).map(({ loaded, written }) =>
      ours(
        "nodes_list_age_seconds",
        "Time since the nodes list in force was written",
        Math.max(0, (now - Option.getOrElse(written, () => loaded)) / 1000)
      )
    )
  ]
})

const outbox = Effect.gen(function* () {
  const { answered, oldest, upstream, ...amounts } = yield* (yield* Outbox).status
  const { general } = yield* RelayConfig
  const now = yield* Clock.currentTimeMillis
  const states = ["waiting", "refused"] as const
  const isKnown = SystemStatus.isAsked({ answered, upstream })
  return [
    ...states.map((state) =>
      ours("outbox_entries", "Files in the outbox", amounts[state].entries, { state })
    ),
    ...states.map((state) =>
      ours("outbox_bytes", "Bytes of the content of files in the outbox", amounts[state].bytes, { state })
    ),
    ours(
      "outbox_oldest_seconds",
      "Time that the file that waits longest for the policy server has waited; 0 where none waits",
      Option.match(oldest, { onNone: () => 0, onSome: (accepted) => Math.max(0, (now - accepted) / 1000) })
    ),
    ...(general.nodeId === root || !isKnown
      ? []
      : [
          ours(
            "upstream_up",
            "Whether the policy server answered when it was last asked; absent until it has been",
            Option.isSome(upstream) ? 0 : 1
          )
        ])
  ]
})

const runs = Effect.gen(function* () {
  const { runs, agents, waiting, overdue, unkillable } = yield* (yield* RemoteRun).activity
  return [
    ours("runs_active", "Remote runs that are going on", runs),
    ours("agents_running", "Agents that are running", agents),
    ours("agents_waiting", "Nodes whose agent waits for others to end", waiting),
    ours("agents_overdue", "Agents that took too long, are being ended, and are still there", overdue),
    ours("unkillable_processes", "Processes of agents that were ended and can't be signalled", unkillable)
  ]
})

const certificates = Effect.gen(function* () {
  const now = yield* Clock.currentTimeMillis
  return (yield* CertificateStatus.groups).map(({ kind, first }) =>
    ours(
      "certificate_left_seconds",
      "Time until a certificate ends; of the nodes', until the first of them does",
      (first - now) / 1000,
      { certificate: kind }
    )
  )
})

const room = Effect.map(Room.folders, (all) =>
  all.map(({ folder, free }) =>
    ours("free_bytes", "Room left on the file system of a folder of the relay's", free, { folder })
  )
)

const build = Effect.map(RelayConfig, ({ general }) => [
  ours("build_info", "The relay that says all this", 1, { version: Version.full, node: general.nodeId })
])

/** All of them as they are now, in Prometheus' text format. */
export const text = Effect.gen(function* () {
  const samples = (yield* Effect.all([build, nodes, outbox, runs, certificates, room])).flat()
  const families = PrometheusText.familiesOf(yield* Metric.snapshot, prefix)
  for (const { name, help, value, labels } of samples)
    PrometheusText.add(families, { name, help, type: "gauge", value, labels })
  for (const figure of ProcessFigures.figures()) PrometheusText.add(families, figure)
  return PrometheusText.print(families)
})
