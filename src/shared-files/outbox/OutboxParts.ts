/** What an outbox that works is made of. */
import type { Clock, Duration, Scope } from "effect"
import type { FileLocks } from "../../disk/FileLocks.ts"
import type { HashCheck } from "../../disk/HashCheck.ts"
import type { Deliveries } from "./Deliveries.ts"
import type { MakeRoom } from "./OutboxStorage.ts"
import type { Spool } from "./Spool.ts"
import type { UpstreamService } from "./Upstream.ts"
import type { UpstreamGate } from "./UpstreamGate.ts"

/** The outbox's functions take these, or some of them. */
export interface OutboxParts {
  readonly spool: Spool
  readonly makeRoom: MakeRoom
  /** By the keys of files. */
  readonly locks: FileLocks
  readonly upstream: UpstreamService
  readonly gate: UpstreamGate
  readonly deliveries: Deliveries
  readonly hashesTo: HashCheck
  /** A sender waits no longer for the policy server. */
  readonly forwardWait: Duration.Duration
  readonly clock: Clock.Clock
  /** Of the daemon. */
  readonly scope: Scope.Scope
}
