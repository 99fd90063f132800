import {
  HttpClient,
  HttpClientError,
  type HttpClientRequest,
  HttpClientResponse,
  UrlParams
} from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Chunk, Duration, Effect, Exit, Fiber, Layer, Schedule, Stream } from "effect"
import { RelayClient } from "../../src/client/RelayClient.ts"
import { resuming } from "../../src/client/RunStream.ts"
import * as EventLoop from "../../src/EventLoop.ts"
import type { RunStreamEvent } from "../../src/remote-run/RunStreamEvent.ts"
import { ManualClock } from "../support/ManualClock.ts"

const run = "01900000-0000-7000-8000-000000000000"
const line = (at: number) => `line ${at} ${"é☃".repeat(at % 7)}`

/** A run of two nodes with some lines. */
const events: ReadonlyArray<RunStreamEvent> = [
  { event: "run", id: run, nodes: ["a", "b"], unknown: [], classes: [] },
  { event: "start", node: "a", hostname: "a.example.com" },
  { event: "start", node: "b", hostname: "b.example.com" },
  ...Array.from({ length: 14 }, (_, at) => ({
    event: "output" as const,
    node: at % 3 === 0 ? "a" : "b",
    stream: "stdout" as const,
    line: line(at)
  })),
  { event: "end", node: "a", code: 0, duration: 1, stderr: "" },
  { event: "end", node: "b", code: 1, duration: 2, stderr: "error\n" },
  { event: "done", ok: 1, failed: 1, duration: 2 }
]
const ping = '{"event":"ping"}\n'
const longest = Math.max(...events.map((event) => Buffer.byteLength(JSON.stringify(event)) + 1))
const textOf = (some: ReadonlyArray<unknown>) => some.map((event) => `${JSON.stringify(event)}\n`).join("")

/** What a request asked for. */
interface Asked {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly form: URLSearchParams
  readonly key: string | undefined
}

const askedOf = (request: HttpClientRequest.HttpClientRequest): Asked => ({
  method: request.method,
  path: new URL(request.url).pathname,
  query: new URLSearchParams(UrlParams.toString(request.urlParams)),
  form: new URLSearchParams(
    request.body._tag === "Uint8Array" ? Buffer.from(request.body.body).toString() : ""
  ),
  key: request.headers["idempotency-key"]
})

type Answer =
  | { readonly status: number; readonly body: unknown }
  | { readonly bytes: Stream.Stream<Uint8Array>; readonly cut: boolean; readonly status?: number }
  | "unreachable"

/** A relay by script, and what it was asked. */
const scripted = (answer: (asked: Asked, at: number) => Answer) => {
  const asked: Array<Asked> = []
  const client = HttpClient.make((request) =>
    Effect.suspend(() => {
      const one = askedOf(request)
      asked.push(one)
      const said = answer(one, asked.length)
      if (said === "unreachable")
        return new HttpClientError.RequestError({ request, reason: "Transport", cause: new Error("refused") })
      if ("body" in said)
        return Effect.succeed(
          HttpClientResponse.fromWeb(
            request,
            new Response(JSON.stringify(said.body), { status: said.status })
          )
        )
      const body = said.cut ? Stream.concat(said.bytes, Stream.fail("reset" as const)) : said.bytes
      return Effect.succeed(
        HttpClientResponse.fromWeb(
          request,
          new Response(Stream.toReadableStream(body, { strategy: { highWaterMark: 0 } }), {
            status: said.status ?? 200,
            headers: { "content-type": "application/x-ndjson" }
          })
        )
      )
    })
  )
  const layer = Layer.provide(
    RelayClient.layer({ url: "http://relay" }),
    Layer.succeed(HttpClient.HttpClient, client)
  )
  return { asked, layer }
}

/** In pieces of so many bytes, one by one: a body of `fetch` forgets what waits in it when it breaks. */
const inPieces = (bytes: Buffer, size: number) =>
  Stream.rechunk(
    Stream.fromIterable(
      Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) =>
        bytes.subarray(at * size, (at + 1) * size)
      )
    ),
    1
  )

const from = ({ query }: Asked) => Number(query.get("from") ?? "0")

/** What is under way comes to rest: nothing of it takes a timer. */
const rest = Effect.repeatN(EventLoop.turn, 10)

/** Time passes until it is over. */
const inTime = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const clock = new ManualClock(0)
    const fiber = yield* Effect.fork(Effect.withClock(effect, clock))
    while ((yield* Fiber.status(fiber))._tag !== "Done") yield* clock.pass(250, rest)
    return yield* Fiber.join(fiber)
  })

const runAll = Effect.flatMap(RelayClient, (client) =>
  Effect.map(Stream.runCollect(client.run({ nodes: ["a", "b"] })), Chunk.toReadonlyArray)
)
const followed = Effect.flatMap(RelayClient, (client) =>
  Effect.map(Stream.runCollect(client.follow(run)), Chunk.toReadonlyArray)
)

describe("a run's stream", () => {
  it.effect("is taken up again, without loss or repeat, wherever a proxy cuts it", () =>
    Effect.gen(function* () {
      for (const knowsFrom of [true, false])
        for (let every = longest; every < longest + 60; every += knowsFrom ? 7 : 29) {
          const relay = scripted((asked, at) => {
            const text = Buffer.from(textOf(knowsFrom ? events.slice(from(asked)) : events))
            // What always begins anew has to come further each time.
            const end = knowsFrom ? every : every * at
            return { bytes: inPieces(text.subarray(0, end), 7 + (every % 60)), cut: end < text.length }
          })
          expect(yield* inTime(runAll).pipe(Effect.provide(relay.layer))).toEqual(events)
          expect(relay.asked.filter(({ method }) => method === "POST")).toHaveLength(1)
          expect(relay.asked.length).toBeGreaterThan(5)
        }
    })
  )

  it.effect("shows pings, and counts none of them", () =>
    Effect.gen(function* () {
      const relay = scripted((asked) => {
        const [first = "", ...others] = textOf(events.slice(from(asked))).split(/(?<=\n)/)
        const text = [ping, first, ping, ...others].join("")
        return { bytes: inPieces(Buffer.from(text).subarray(0, longest + 200), 30), cut: false }
      })
      const seen = yield* inTime(runAll).pipe(Effect.provide(relay.layer))
      expect(seen.filter(({ event }) => event !== "ping")).toEqual(events)
      expect(seen[0]).toEqual({ event: "ping" })
    })
  )

  it.effect("that can't be taken up again for a minute ends with how far it came", () =>
    Effect.gen(function* () {
      const relay = scripted((_, at) =>
        at === 1 ? { bytes: Stream.make(Buffer.from(textOf(events.slice(0, 5)))), cut: true } : "unreachable"
      )
      const error = yield* inTime(Effect.flip(runAll)).pipe(Effect.provide(relay.layer))
      expect(error).toMatchObject({ _tag: "RunCutOff", run, events: 5 })
      expect(error.message).toContain("refused")
    })
  )

  it.effect("that says nothing for a minute is asked for again", () =>
    Effect.gen(function* () {
      const relay = scripted((asked, at) =>
        at === 1
          ? {
              bytes: Stream.concat(Stream.make(Buffer.from(textOf(events.slice(0, 5)))), Stream.never),
              cut: false
            }
          : { bytes: Stream.make(Buffer.from(textOf(events.slice(from(asked))))), cut: false }
      )
      expect(yield* inTime(runAll).pipe(Effect.provide(relay.layer))).toEqual(events)
      expect(relay.asked.map(({ method }) => method)).toEqual(["POST", "GET"])
    })
  )

  for (const [what, status, ended] of [
    ["has not the run any more", 404, { _tag: "RunNotFound", message: "no run", run }],
    ["has it in a damaged file", 500, { _tag: "StorageError", message: "damaged", request: "1", run }]
  ] as const)
    it.effect(`goes on with a busy relay later, and not with one that ${what}`, () =>
      Effect.gen(function* () {
        const busy = { _tag: "TooBusy", message: "stopping", retryAfterSeconds: 10 }
        const failed = { _tag: "StorageError", message: "the disk failed", request: "1" }
        const relay = scripted((_, at) => {
          if (at === 1) return { bytes: Stream.make(Buffer.from(textOf(events.slice(0, 5)))), cut: true }
          if (at === 2) return { status: 503, body: busy }
          return at === 3 ? { status: 500, body: failed } : { status, body: ended }
        })
        expect(yield* inTime(Effect.flip(runAll)).pipe(Effect.provide(relay.layer))).toMatchObject(ended)
        expect(relay.asked.map(({ method }) => method)).toEqual(["POST", "GET", "GET", "GET"])
      })
    )

  it.effect("is read no faster than it is consumed", () =>
    Effect.gen(function* () {
      let read = 0
      const text = Buffer.from(textOf(events))
      const bytes = Stream.tap(inPieces(text, 100), () =>
        Effect.sync(() => {
          read++
        })
      )
      const { layer } = scripted(() => ({ bytes, cut: false }))
      const consumed = Effect.flatMap(RelayClient, (client) =>
        client.follow(run).pipe(
          Stream.tap(({ event }) => (event === "output" ? Effect.never : Effect.void)),
          Stream.runDrain
        )
      ).pipe(Effect.provide(layer))
      const fiber = yield* Effect.fork(consumed)
      yield* Effect.repeatN(EventLoop.turn, 200)
      expect(read).toBeGreaterThan(2)
      expect(read).toBeLessThan(8)
      expect(text.length / 100).toBeGreaterThan(12)
      yield* Fiber.interrupt(fiber)
    })
  )

  it.effect("leaves out events of a kind that a newer relay has, and counts them", () =>
    Effect.gen(function* () {
      const newer = [...events.slice(0, 4), { event: "weather", sun: true }, ...events.slice(4)]
      const relay = scripted((asked, at) => {
        const text = textOf(newer.slice(from(asked)))
        return { bytes: Stream.make(Buffer.from(text.slice(0, at === 1 ? 500 : text.length))), cut: true }
      })
      expect(yield* inTime(runAll).pipe(Effect.provide(relay.layer))).toEqual(events)
    })
  )

  it.effect("has its lines as they came, those of a newer relay too, for who passes them on", () =>
    Effect.gen(function* () {
      const newer = [
        ...events.slice(0, 4),
        { event: "weather", sun: true },
        ...events.slice(4, -1),
        { ...events.at(-1), mood: "good" }
      ]
      const relay = scripted((asked, at) => {
        const text = textOf(newer.slice(from(asked)))
        return { bytes: Stream.make(Buffer.from(text.slice(0, at === 1 ? 500 : text.length))), cut: true }
      })
      const lines = yield* inTime(
        Effect.flatMap(RelayClient, (client) => Stream.runCollect(client.followLines(run)))
      ).pipe(Effect.provide(relay.layer))
      expect(Array.from(lines, (one) => `${Buffer.from(one.line)}\n`).join("")).toBe(textOf(newer))
      expect(Array.from(lines).flatMap(({ event }) => event ?? [])).toEqual(events)
    })
  )

  it.effect("that has a line that is no event fails, and says what is wrong with it", () =>
    Effect.gen(function* () {
      for (const bad of ["<html>\n", '{"event":"end","node":"a"}\n', `${'"'.repeat(5 * 1024 * 1024)}`]) {
        const relay = scripted(() => ({ bytes: Stream.make(Buffer.from(bad)), cut: false }))
        const error = yield* inTime(Effect.flip(followed)).pipe(Effect.provide(relay.layer))
        expect(error).toMatchObject({ _tag: "UnexpectedAnswer" })
        expect(relay.asked).toHaveLength(1)
      }
    })
  )

  it.effect("of a run without output begins with the start's answer", () =>
    Effect.gen(function* () {
      const relay = scripted((asked) =>
        asked.method === "POST"
          ? { status: 202, bytes: Stream.make(Buffer.from(textOf(events.slice(0, 1)))), cut: false }
          : { bytes: Stream.make(Buffer.from(textOf(events.slice(from(asked))))), cut: false }
      )
      const all = Effect.flatMap(RelayClient, (client) =>
        Stream.runCollect(client.run({ nodes: "all", output: "discard", classes: ["x", "y"] }))
      ).pipe(Effect.provide(relay.layer))
      // At once: no time passes.
      expect(Chunk.toReadonlyArray(yield* all)).toEqual(events)
      expect(relay.asked[0]?.path).toBe("/rudder/relay-api/remote-run/all")
      expect(Object.fromEntries(relay.asked[0]?.form ?? [])).toEqual({
        async: "yes",
        format: "ndjson",
        output: "discard",
        classes: "x,y"
      })
    })
  )
})

describe("a start", () => {
  const failures: ReadonlyArray<Answer> = [
    "unreachable",
    { bytes: Stream.empty, cut: true },
    { bytes: Stream.empty, cut: false },
    { status: 503, body: { _tag: "TooBusy", message: "stopping", retryAfterSeconds: 10 } },
    { status: 502, body: "Bad gateway" }
  ]

  it.effect("is asked for once, whatever becomes of it", () =>
    Effect.gen(function* () {
      for (const failure of failures) {
        const relay = scripted(() => failure)
        const exit = yield* inTime(Effect.exit(runAll)).pipe(Effect.provide(relay.layer))
        expect(Exit.isFailure(exit)).toBe(true)
        expect(relay.asked).toHaveLength(1)
      }
    })
  )

  it.effect("that has a key is asked for again, under that key", () =>
    Effect.gen(function* () {
      for (const failure of failures) {
        const relay = scripted((_, at) =>
          at < 3 ? failure : { bytes: Stream.make(Buffer.from(textOf(events))), cut: false }
        )
        const all = Effect.flatMap(RelayClient, (client) =>
          Stream.runCollect(client.run({ nodes: ["a", "b"], idempotencyKey: "key 1" }))
        )
        expect(Chunk.toReadonlyArray(yield* inTime(all).pipe(Effect.provide(relay.layer)))).toEqual(events)
        expect(relay.asked.map(({ method, key }) => [method, key])).toEqual(
          Array.from({ length: 3 }, () => ["POST", "key 1"])
        )
      }
    })
  )

  it.effect("that is refused fails with what the relay says", () =>
    Effect.gen(function* () {
      const body = { _tag: "InvalidRequest", parameter: "classes", message: "classes: expected" }
      const relay = scripted(() => ({ status: 400, body }))
      expect(yield* Effect.flip(runAll).pipe(Effect.provide(relay.layer))).toMatchObject(body)
    })
  )

  it.effect("alone gives its first event, and leaves", () =>
    Effect.gen(function* () {
      const relay = scripted(() => ({
        bytes: Stream.concat(Stream.make(Buffer.from(textOf(events.slice(0, 3)))), Stream.never),
        cut: false
      }))
      const started = yield* Effect.flatMap(RelayClient, (client) => client.start({ nodes: "all" })).pipe(
        Effect.provide(relay.layer)
      )
      expect(started).toEqual(events[0])
    })
  )

  it.effect("alone fails where what comes is no run's beginning, and where nothing comes", () =>
    Effect.gen(function* () {
      const start = Effect.flatMap(RelayClient, (client) => Effect.flip(client.start({ nodes: "all" })))
      for (const bytes of [textOf(events.slice(1)), '{"nodes":[]}']) {
        const answer = bytes.startsWith('{"nodes"')
          ? ({ status: 200, body: { nodes: [] } } as const)
          : ({ bytes: Stream.make(Buffer.from(bytes)), cut: false } as const)
        const error = yield* inTime(start).pipe(Effect.provide(scripted(() => answer).layer))
        expect(error).toMatchObject({
          _tag: "UnexpectedAnswer",
          message: "answered 200: the run's stream has no first event"
        })
      }
    })
  )
})

describe("taking up again", () => {
  it.effect("is tried sooner at first, every five seconds later, for a minute", () =>
    Effect.gen(function* () {
      const delays = yield* Schedule.run(Schedule.delays(resuming), 0, Array.from({ length: 30 }))
      const millis = Chunk.toReadonlyArray(delays).map(Duration.toMillis)
      expect(millis.slice(0, 7)).toEqual([250, 500, 1000, 2000, 4000, 5000, 5000])
    })
  )
})
