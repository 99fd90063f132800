/** This relay as a client of other relays: who they are is known before anything is sent. */
import type { KeyObject } from "node:crypto"
import type { Agent } from "node:http"
import type { Socket } from "node:net"
import { Context, type Effect, type Scope } from "effect"
import type { PeerUnreachable } from "./PeerUnreachable.ts"

/** The keys that a pinned peer may have; fails, by reason `certificate`, where there are none to compare. */
export type PinnedKeys = Effect.Effect<ReadonlyArray<KeyObject>, PeerUnreachable>

/** Another relay, and the keys by which it is recognised. */
export interface Peer {
  /** Protocol, host and port count. With `http:` nothing is checked. */
  readonly url: URL
  /** Asked for each connection, with `cert_pinning` only. */
  readonly keys: PinnedKeys
}

/** Connections to one peer that are used again. */
export interface PeerPool {
  /** Makes connections for requests of node's, or takes those that are free. */
  readonly agent: Agent
  /** Uses no connection again that is open now: the peer behind it may not be trusted any more. */
  readonly forget: Effect.Effect<void>
}

/** Connecting and asking are apart: a peer that could not be reached got nothing, whatever else may be true of it. */
export interface PeerClientService {
  /** A new connection, which lasts as long as the scope. */
  readonly connect: (peer: Peer) => Effect.Effect<Socket, PeerUnreachable, Scope.Scope>
  /** Connections that are kept for `general.https_idle_timeout` after use. All of them end with the scope. */
  readonly pool: (peer: Peer) => Effect.Effect<PeerPool, never, Scope.Scope>
}

/** Connections to other relays; `PeerConnections.layer` makes them over the network. */
export class PeerClient extends Context.Tag("rudder-relay/PeerClient")<PeerClient, PeerClientService>() {}
