/** The question for a run's output, and its answer. */
import { type HttpClient, HttpClientRequest, type HttpClientResponse } from "@effect/platform"
import { Effect } from "effect"
import type { NodeChoice } from "../remote-run/OutputParameters.ts"
import { type CallFailure, refused, unreachable } from "./ClientError.ts"

/** What of a run's output is asked for, and how. */
export interface OutputSelection {
  /** Default: `text`. */
  readonly format?: "text" | "ndjson" | "raw"
  /** Ids of nodes: only what is said of these. */
  readonly nodes?: ReadonlyArray<string>
  /** Only lines of this stream. */
  readonly stream?: "stdout" | "stderr"
  /** Only nodes that ended so, each in one piece; or those that are so now. */
  readonly state?: NodeChoice
  /** Without the first so many events, or lines of text and raw; pings not counted. */
  readonly from?: number
}

/** Asks for a run's output, by the run's id; succeeds with the answer where there is one to read. */
export const ask = (
  client: HttpClient.HttpClient,
  run: string,
  { format = "text", nodes, stream, state, from }: OutputSelection
): Effect.Effect<HttpClientResponse.HttpClientResponse, CallFailure> =>
  client
    .execute(
      HttpClientRequest.get(`/remote-run/runs/${encodeURIComponent(run)}/output`).pipe(
        HttpClientRequest.setUrlParams({ format, node: nodes?.join(","), stream, state, from })
      )
    )
    .pipe(
      Effect.mapError(unreachable),
      Effect.flatMap((response) => (response.status === 200 ? Effect.succeed(response) : refused(response)))
    )
