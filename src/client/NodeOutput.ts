/** What one node printed in a run, byte for byte. */
import type { HttpClient } from "@effect/platform"
import { Data, Effect, Schedule, Stream } from "effect"
import { type CallFailure, isWorthAnotherTry, RelayUnreachable } from "./ClientError.ts"
import * as OutputRequest from "./OutputRequest.ts"
import { resuming } from "./RunStream.ts"

/** Whose output, and which of its streams. */
export interface NodeOutputRequest {
  /** The run's id. */
  readonly run: string
  /** The node's id. */
  readonly node: string
  /** Default: stdout. */
  readonly stream?: "stdout" | "stderr"
}

/** Inside: it may go on with another connection. */
class Cut extends Data.TaggedError("Cut")<{ readonly error: CallFailure }> {}

/** Passes the bytes on but the first `skipped`. */
const behind = (skipped: number) => {
  let left = skipped
  return (piece: Uint8Array): Uint8Array => {
    const rest = piece.subarray(left)
    left -= piece.length - rest.length
    return rest
  }
}

/**
 * The bytes, as they come; of a run that goes on, until it ends. Where the connection is cut, it is asked again, as
 * `RunStream.resuming` says, and what came before is left out: a node's output does not change.
 */
export const make = (
  client: HttpClient.HttpClient,
  { run, node, stream }: NodeOutputRequest
): Stream.Stream<Uint8Array, CallFailure> =>
  Stream.suspend(() => {
    let came = 0
    const choice = { format: "raw", nodes: [node], ...(stream === undefined ? {} : { stream }) } as const
    const answer = OutputRequest.ask(client, run, choice).pipe(
      Effect.mapError((error) => (isWorthAnotherTry(error) ? new Cut({ error }) : error))
    )
    const broke = () =>
      new Cut({
        error: new RelayUnreachable({ message: `the output of run ${run}: the connection broke off` })
      })
    const bytes = Effect.map(answer, (response) =>
      response.stream.pipe(
        Stream.mapError(broke),
        Stream.map(behind(came)),
        Stream.tap((piece) =>
          Effect.sync(() => {
            came += piece.length
          })
        )
      )
    )
    return Stream.unwrap(bytes).pipe(
      Stream.retry(Schedule.whileInput(resuming, (error: CallFailure | Cut) => error._tag === "Cut")),
      Stream.catchTag("Cut", ({ error }) => Stream.fail(error))
    )
  })
