/** Whose word is taken for a file's being there. */
import { HttpClient, HttpClientResponse } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { RelayClient } from "../../src/client/RelayClient.ts"
import { secretNamed } from "../support/Keys.ts"

const key = secretNamed("source")

/** A server that says yes to whatever it is asked. */
const sharedWith = (headers: Record<string, string>) =>
  RelayClient.pipe(
    Effect.flatMap((client) =>
      client.share({ source: "a", target: "b", fileId: "file", key, content: Stream.make(Buffer.from("x")) })
    ),
    Effect.provide(
      Layer.provide(
        RelayClient.layer({ url: "http://127.0.0.1:1" }),
        Layer.succeed(
          HttpClient.HttpClient,
          HttpClient.make((request) =>
            Effect.succeed(HttpClientResponse.fromWeb(request, new Response(null, { headers })))
          )
        )
      )
    )
  )

describe("a file is there", () => {
  it.effect("when a relay says so, and not when something else does", () =>
    Effect.gen(function* () {
      expect(yield* sharedWith({ "x-request-id": "one" })).toMatchObject({ result: "present", size: 1 })
      expect(yield* Effect.flip(sharedWith({ "content-type": "text/html" }))).toMatchObject({
        _tag: "UnexpectedAnswer",
        message: "answered 200 (text/html): without x-request-id"
      })
    })
  )
})
