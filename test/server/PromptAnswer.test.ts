import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { HttpApp, HttpServerResponse } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import * as PromptAnswer from "../../src/server/PromptAnswer.ts"

/** What a client of node's server gets of an app; `isPrompt`: whether it was written when the app had given it. */
const answered = (app: HttpApp.Default, method = "GET") =>
  Effect.gen(function* () {
    let isPrompt = false
    const prompt = Effect.onExit(PromptAnswer.around(app), () =>
      Effect.sync(() => {
        isPrompt = written()
      })
    )
    let written = () => false
    const handler = yield* NodeHttpServer.makeHandler(prompt)
    const server = yield* Effect.acquireRelease(
      Effect.async<ReturnType<typeof createServer>>((resume) => {
        const made = createServer((request, response) => {
          written = () => response.writableEnded
          handler(request, response)
        })
        made.listen(0, "127.0.0.1", () => resume(Effect.succeed(made)))
      }),
      (made) => Effect.sync(() => made.close().closeAllConnections())
    )
    return yield* Effect.promise(async () => {
      // A TCP server's address is never a path.
      const { port } = server.address() as AddressInfo
      const answer = await fetch(`http://127.0.0.1:${port}/`, { method })
      return {
        status: answer.status,
        body: await answer.text(),
        type: answer.headers.get("content-type"),
        length: answer.headers.get("content-length"),
        cookie: answer.headers.get("set-cookie"),
        last: answer.headers.get("x-last"),
        isPrompt
      }
    })
  })

const text = HttpServerResponse.text("hello", { status: 202 })

describe("an answer", () => {
  it.scopedLive("is written when it is given, where its bytes are there", () =>
    Effect.gen(function* () {
      expect(yield* answered(Effect.succeed(text))).toMatchObject({
        status: 202,
        body: "hello",
        type: "text/plain",
        length: "5",
        isPrompt: true
      })
      expect(yield* answered(Effect.succeed(HttpServerResponse.empty({ status: 404 })))).toMatchObject({
        status: 404,
        body: "",
        isPrompt: true
      })
    })
  )

  it.scopedLive("to HEAD has the length of its body, and not the body", () =>
    Effect.gen(function* () {
      expect(yield* answered(Effect.succeed(text), "HEAD")).toMatchObject({
        status: 202,
        body: "",
        length: "5",
        isPrompt: true
      })
    })
  )

  it.scopedLive("that is a stream is left to the platform", () =>
    Effect.gen(function* () {
      const stream = HttpServerResponse.stream(Stream.make(Buffer.from("he"), Buffer.from("llo")))
      expect(yield* answered(Effect.succeed(stream))).toMatchObject({ body: "hello", isPrompt: false })
    })
  )

  it.scopedLive("keeps what a program around the relay does to it last, and its cookies", () =>
    Effect.gen(function* () {
      const last = HttpApp.appendPreResponseHandler((_, response) =>
        Effect.succeed(HttpServerResponse.setHeader(response, "x-last", "word"))
      )
      expect(yield* answered(Effect.as(last, text))).toMatchObject({ body: "hello", last: "word" })
      const baked = HttpServerResponse.unsafeSetCookie(text, "name", "value")
      expect(yield* answered(Effect.succeed(baked))).toMatchObject({ body: "hello", cookie: "name=value" })
    })
  )
})
