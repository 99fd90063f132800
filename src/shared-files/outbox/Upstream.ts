/** The policy server as the one to whom shared files are sent, and who is asked for them. */
import type { Readable } from "node:stream"
import { Context, Data, type Effect } from "effect"
import type { ContentHash } from "../../disk/ContentHash.ts"
import type { UpstreamFatal, UpstreamRejected } from "../../RelayError.ts"
import type { SharedFileName } from "../file/FileId.ts"

/** There was no answer: no connection, none to trust, it broke off, or fell silent. Whatever is asked next fares alike. */
export class UpstreamUnreachable extends Data.TaggedError("UpstreamUnreachable")<{
  readonly message: string
}> {}

/** A file that is sent to the policy server. */
export interface SentFile {
  readonly name: SharedFileName
  /** As the route's parameter has it. */
  readonly ttl: string
  /** The lines of the header block, and the empty line. */
  readonly header: string
  /** Of the content. Bytes. */
  readonly size: number
  /** The content from its beginning. Called once for each time that it is sent. */
  readonly content: () => Readable
  /** All of the content, where it is small and was read already. */
  readonly bytes?: Uint8Array | undefined
}

/** What the policy server can be asked. */
export interface UpstreamService {
  /**
   * Sends a file, and succeeds when the policy server has said that it took it over.
   *
   * - `UpstreamRejected`: it will not take this file.
   * - `UpstreamFatal`: it did not take this file this time (or this relay can't read the content).
   * - `UpstreamUnreachable`: no answer. The file may have arrived all the same.
   */
  readonly put: (
    file: SentFile
  ) => Effect.Effect<void, UpstreamRejected | UpstreamFatal | UpstreamUnreachable>
  /** Whether the policy server has this file, with this content. `UpstreamRejected`: it will not take it. */
  readonly has: (
    name: SharedFileName,
    hash: ContentHash
  ) => Effect.Effect<boolean, UpstreamRejected | UpstreamFatal | UpstreamUnreachable>
}

/** The policy server; `UpstreamCalls.layer` calls the one of the configuration. */
export class Upstream extends Context.Tag("rudder-relay/Upstream")<Upstream, UpstreamService>() {}
