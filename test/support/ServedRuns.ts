/** A relay that serves its runs as `RemoteRunHttp` does, over a line that is cut as a test says. */
import type { ServerResponse } from "node:http"
import { Effect, Layer, Runtime, Stream } from "effect"
import type { RemoteRun as RemoteRunTag } from "../../src/remote-run/RemoteRun.ts"
import { RemoteRun, type Run } from "../../src/remote-run/RemoteRun.ts"
import { RunId } from "../../src/remote-run/RunId.ts"
import { type Script, scripted } from "../../src/testing/ScriptedSubRelay.ts"
import { order } from "./ScriptedSubRelay.ts"

/** How an answer breaks off: `fin` and `destroy` end the connection, `stall` says no more, `busy` and `drop` say nothing. */
export interface Cut {
  readonly how: "fin" | "destroy" | "stall" | "busy" | "drop"
  /** Bytes of the body before that; of the answer to an order, behind its first event. */
  readonly after: number
}

/** One stream of a run, up to where it is cut. */
const serve = (response: ServerResponse, run: Run, from: number, cut: Cut | undefined) =>
  Effect.gen(function* () {
    if (cut?.how === "busy" && from > 0) return void response.writeHead(503).end("later")
    if (cut?.how === "drop" && from > 0) return void response.destroy()
    response.writeHead(200, { "content-type": "application/x-ndjson" })
    response.flushHeaders()
    let left = cut === undefined ? Number.POSITIVE_INFINITY : cut.after
    // The first event of an order says which run it is, and without it nothing can be taken up again.
    let first = from === 0
    const write = (bytes: Uint8Array) => {
      if (first) left += Buffer.from(bytes).indexOf(0x0a) + 1
      first = false
      response.write(bytes.subarray(0, left))
      left = Math.max(0, left - bytes.length)
    }
    const stream = run.read({ format: "ndjson", order: "live", after: 0, from })
    yield* Stream.runForEachWhile(stream, (bytes) =>
      Effect.as(
        Effect.sync(() => write(bytes)),
        left > 0
      )
    )
    if (left > 0) return void response.end()
    // This may overtake what was said before it.
    if (cut?.how === "destroy" && from > 0) response.destroy()
    else if (cut?.how !== "stall") response.socket?.end()
  })

/** Serves the runs of a relay; each answer takes the next of the cuts, and when there are none left, none. */
export const servesRuns = (layer: Layer.Layer<RemoteRunTag>, cuts: ReadonlyArray<Cut> = []) =>
  Effect.gen(function* () {
    const context = yield* Layer.build(layer)
    const runtime = yield* Effect.runtime<never>()
    const left = [...cuts]
    const answering =
      (
        find: (asked: Parameters<Script>[1]) => Effect.Effect<readonly [Run, number], unknown, RemoteRun>
      ): Script =>
      (response, asked) => {
        const answer = Effect.flatMap(find(asked), ([run, from]) => serve(response, run, from, left.shift()))
        void Runtime.runPromise(runtime)(Effect.provide(answer, context))
      }
    return yield* scripted(
      answering(({ form }) =>
        Effect.gen(function* () {
          const remoteRun = yield* RemoteRun
          return [yield* remoteRun.start(order(form.get("nodes")?.split(",") ?? [])), 0] as const
        })
      ),
      answering(({ path }) =>
        Effect.gen(function* () {
          const remoteRun = yield* RemoteRun
          const [, id = "", from = ""] = /\/runs\/([^/]+)\/output\?format=ndjson&from=(\d+)$/.exec(path) ?? []
          return [yield* remoteRun.find(RunId.make(id)), Number(from)] as const
        })
      )
    )
  })
