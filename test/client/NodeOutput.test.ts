/** What one node printed, through connections that are cut. */
import { HttpClient, HttpClientError, HttpClientResponse, UrlParams } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Stream, TestClock } from "effect"
import { RelayClient } from "../../src/client/RelayClient.ts"

const text = Buffer.from("Start execution\n\u00e9\u2603 done\n")

/** Answers by their turn: so many bytes before the cut, all of them, or none. */
const relay = (answer: (at: number) => number | "all" | "unreachable" | "gone") => {
  const asked: Array<string> = []
  const client = HttpClient.make((request) =>
    Effect.suspend(() => {
      asked.push(`${request.url}?${UrlParams.toString(request.urlParams)}`)
      const said = answer(asked.length)
      if (said === "unreachable")
        return new HttpClientError.RequestError({ request, reason: "Transport", cause: new Error("refused") })
      if (said === "gone") {
        const body = JSON.stringify({ _tag: "RunNotFound", message: "no run", run: "0190" })
        return Effect.succeed(HttpClientResponse.fromWeb(request, new Response(body, { status: 404 })))
      }
      const bytes =
        said === "all"
          ? Stream.make(text)
          : Stream.concat(
              // What waits in a body of `fetch` when it breaks is forgotten: so it waits in none.
              Stream.make(text.subarray(0, said)),
              Stream.fail("reset")
            )
      const body = Stream.toReadableStream(bytes, { strategy: { highWaterMark: 0 } })
      return Effect.succeed(HttpClientResponse.fromWeb(request, new Response(body)))
    })
  )
  const layer = Layer.provide(
    RelayClient.layer({ url: "http://relay" }),
    Layer.succeed(HttpClient.HttpClient, client)
  )
  return { asked, layer }
}

const read = Effect.flatMap(RelayClient, (client) =>
  Stream.runFold(
    client.nodeOutput({ run: "0190", node: "a" }),
    "",
    (all, piece) => all + Buffer.from(piece).toString("latin1")
  )
)

describe("what a node printed", () => {
  it.effect("comes once, whole, wherever the connection is cut", () =>
    Effect.gen(function* () {
      for (let every = 1; every < text.length; every += 5) {
        const { asked, layer } = relay((at) => (at === 3 ? "unreachable" : at > 4 ? "all" : every * at))
        const fiber = yield* Effect.fork(Effect.provide(read, layer))
        yield* TestClock.adjust("1 minute")
        yield* TestClock.adjust("1 minute")
        expect(yield* Fiber.join(fiber)).toBe(text.toString("latin1"))
        expect(asked[0]).toBe("http://relay/rudder/relay-api/remote-run/runs/0190/output?format=raw&node=a")
      }
    })
  )

  it.effect("of a run that is no more is not asked for again", () =>
    Effect.gen(function* () {
      const { asked, layer } = relay(() => "gone")
      expect(yield* Effect.flip(Effect.provide(read, layer))).toMatchObject({ _tag: "RunNotFound" })
      expect(asked).toHaveLength(1)
    })
  )
})
