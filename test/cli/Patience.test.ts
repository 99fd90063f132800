/** What is given up where no answer comes, and what is not. */
import { HttpBody, HttpClient, HttpClientRequest } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Stream, TestClock } from "effect"
import * as Patience from "../../src/cli/Patience.ts"

const silent = Patience.limited(HttpClient.make(() => Effect.never))
const post = HttpClientRequest.post("http://127.0.0.1:1/x")

describe("a request that is not answered", () => {
  it.effect("is given up, but for one whose body is a stream", () =>
    Effect.gen(function* () {
      const form = yield* Effect.fork(silent.execute(HttpClientRequest.bodyUrlParams(post, { a: "b" })))
      const upload = yield* Effect.fork(
        silent.execute(HttpClientRequest.setBody(post, HttpBody.stream(Stream.never)))
      )
      yield* TestClock.adjust("1 hour")
      expect(form.unsafePoll()).toMatchObject({ _tag: "Failure" })
      expect(Exit.isExit(upload.unsafePoll())).toBe(false)
      yield* Fiber.interrupt(upload)
    })
  )
})
