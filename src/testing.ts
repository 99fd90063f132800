/**
 * The test kit: Layers in the place of what is real, for tests of programs that embed a relay. The relay's own tests use
 * them too.
 *
 * `Relay.liveWith(Layer.mergeAll(...))` takes any of them; what it is not given is real.
 */
export { CrashingDisk, type Operation, type SurvivingFile } from "./testing/CrashingDisk.ts"
export { alone, Leases } from "./testing/Leases.ts"
export * as ScriptedAgents from "./testing/ScriptedAgents.ts"
export * as ScriptedSubRelay from "./testing/ScriptedSubRelay.ts"
export { type Answer, type Received, ScriptedUpstream } from "./testing/ScriptedUpstream.ts"
export * as SelfSigned from "./testing/SelfSigned.ts"
export * as TestRelay from "./testing/TestRelay.ts"
export { nodesListLayer, nodesListOf, nodesOf, type Topology, type Tree } from "./testing/Topology.ts"
