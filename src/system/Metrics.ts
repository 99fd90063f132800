/** The figures of this relay, for Prometheus. Two of the names are those of Rudder's own relay. */
import { Effect, Metric } from "effect"
import { RemoteRun } from "../remote-run/RemoteRun.ts"
import { Outbox } from "../shared-files/outbox/Outbox.ts"
import * as OutboxEnd from "../shared-files/outbox/OutboxEnd.ts"
import { NodesList } from "../topology/NodesList.ts"
import * as PrometheusText from "./PrometheusText.ts"

const prefix = "rudder_relayd_"

const gauge = (name: string, description: string) => Metric.gauge(`${prefix}${name}`, { description })

const managedNodes = gauge("managed_nodes_total", "Nodes whose policy server is this relay")
const subNodes = gauge("sub_nodes_total", "All nodes below this relay, as the nodes list has them")
const outboxFiles = gauge("outbox_files", "Files in the outbox")
const outboxBytes = gauge("outbox_bytes", "Bytes of the content of files in the outbox")
const activeRuns = gauge("active_runs", "Remote runs that are going on")
const runningAgents = gauge("running_agents", "Agents that are running")
const unkillableProcesses = gauge(
  "unkillable_processes",
  "Processes of agents that were ended and can't be signalled"
)

const takeNodes = Effect.gen(function* () {
  const nodes = yield* (yield* NodesList).current
  yield* Metric.set(managedNodes, nodes.mine)
  yield* Metric.set(subNodes, nodes.size)
})

const takeOutbox = Effect.gen(function* () {
  const status = yield* (yield* Outbox).status
  for (const state of ["waiting", "refused"] as const) {
    yield* Metric.set(Metric.tagged(outboxFiles, "state", state), status[state].entries)
    yield* Metric.set(Metric.tagged(outboxBytes, "state", state), status[state].bytes)
  }
  // A counter is there from the start, as 0: one that first appears as 1 is no increase to Prometheus.
  for (const end of OutboxEnd.ends) yield* Metric.incrementBy(OutboxEnd.counterOf(end), 0)
})

const takeRuns = Effect.gen(function* () {
  const { runs, agents, unkillable } = yield* (yield* RemoteRun).activity
  yield* Metric.set(activeRuns, runs)
  yield* Metric.set(runningAgents, agents)
  yield* Metric.set(unkillableProcesses, unkillable)
})

/** All of them as they are now, in Prometheus' text format. */
export const text = Effect.gen(function* () {
  yield* Effect.all([takeNodes, takeOutbox, takeRuns], { discard: true })
  return PrometheusText.print(yield* Metric.snapshot, prefix)
})
