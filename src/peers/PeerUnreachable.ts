/** That there was no answer of a peer, as data. */
import { Data } from "effect"

/**
 * There was no answer, or it broke off.
 *
 * - `connection`: none in 10 s, or refused. Nothing was sent.
 * - `certificate`: the peer can't prove that it is the one that was meant. Nothing was sent.
 * - `stale`: a connection that had been used before was gone; another one may do.
 * - `broken`: the connection broke off after something had been sent, or what came is no answer.
 * - `silent`: it did not come to an end: for too long no more of the request was taken, or the answer was not whole.
 */
export class PeerUnreachable extends Data.TaggedError("PeerUnreachable")<{
  readonly reason: "connection" | "certificate" | "stale" | "broken" | "silent"
  readonly message: string
}> {}

/** The error of that reason. The message names the peer. */
export const unreachable = (reason: PeerUnreachable["reason"], message: string) =>
  new PeerUnreachable({ reason, message })

/** What node says of an error. One of several addresses has no message of its own. */
export const text = (error: Error): string =>
  error instanceof AggregateError && error.message === ""
    ? error.errors.map((each) => (each instanceof Error ? each.message : String(each))).join(", ")
    : error.message
