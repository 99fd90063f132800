/** The same app behind the daemon's listener and behind the platform's: the same answers. */
import { once } from "node:events"
import { IncomingMessage, type Server } from "node:http"
import { connect, type Socket } from "node:net"
import { PassThrough, Readable } from "node:stream"
import { HttpApp, HttpServerRequest, HttpServerRespondable, HttpServerResponse } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, FastCheck, Layer, Scope, Stream, Tracer } from "effect"
import type { Batch } from "../../src/EventLoop.ts"
import { type Begin, toHttpApp } from "../../src/server/BegunRequest.ts"
import * as RequestListener from "../../src/server/RequestListener.ts"
import { listening, portOf } from "../support/HttpServers.ts"
import { eventually } from "../support/Until.ts"

type App = HttpApp.Default<unknown, Scope.Scope>

/** An app that is an `HttpApp`, begun as the listener wants it. */
const ofHttpApp =
  (app: App): Begin<unknown, never, HttpServerRequest.HttpServerRequest | Scope.Scope> =>
  ({ request, scope, services }) => ({
    answer: app,
    context: Context.add(
      Context.add(services, HttpServerRequest.HttpServerRequest, request),
      Scope.Scope,
      scope
    ),
    headers: () => []
  })

/** How many fibers of requests go on. */
const watching = () => {
  const watch = {
    open: 0,
    begin: () => {
      watch.open++
    },
    end: () => {
      watch.open--
    }
  }
  return watch
}

const untraced = Effect.withTracerEnabled(false)

const ours = (app: App, watch = watching()) =>
  RequestListener.make(ofHttpApp(app), watch).pipe(untraced, Effect.flatMap(listening))
const platforms = (app: App) => NodeHttpServer.makeHandler(app).pipe(untraced, Effect.flatMap(listening))

interface Asked {
  readonly method: string
  readonly path: string
  readonly body: string | undefined
}

/** What a client is given, but for what differs with the time of day. */
const ask = (server: Server, { method, path, body }: Asked) =>
  Effect.promise(async () => {
    const answer = await fetch(`http://127.0.0.1:${portOf(server)}${path}`, {
      method,
      ...(body === undefined ? {} : { body })
    })
    const { date: _, ...headers } = Object.fromEntries(answer.headers)
    return {
      status: answer.status,
      headers,
      cookies: answer.headers.getSetCookie(),
      body: await answer.text()
    }
  })

class Told extends Error implements HttpServerRespondable.Respondable {
  [HttpServerRespondable.symbol]() {
    return Effect.succeed(HttpServerResponse.text("told", { status: 418, headers: { "x-told": "yes" } }))
  }
}

const sent = [..."a longer text", ..."än", "", "€", "x".repeat(40_000)]

/** What an app may do, by a name. */
const answers: Readonly<Record<string, App>> = {
  empty: Effect.succeed(HttpServerResponse.empty({ status: 204, headers: { "x-a": "b" } })),
  text: Effect.succeed(HttpServerResponse.text("hällo €", { status: 202, headers: { "X-Upper": "C" } })),
  long: Effect.succeed(HttpServerResponse.text("€".repeat(50_000))),
  bytes: Effect.succeed(HttpServerResponse.uint8Array(Uint8Array.from({ length: 300 }, (_, at) => at % 256))),
  cookies: Effect.succeed(
    HttpServerResponse.text("c", { headers: { "set-cookie": "third=3" } }).pipe(
      HttpServerResponse.unsafeSetCookie("first", "1"),
      HttpServerResponse.unsafeSetCookie("second", "2", { httpOnly: true })
    )
  ),
  raw: Effect.succeed(HttpServerResponse.raw("raw", { status: 203 })),
  pipe: Effect.sync(() => HttpServerResponse.raw(Readable.from(sent.filter((part) => part !== "")))),
  form: Effect.sync(() => {
    const form = new FormData()
    form.set("name", "value")
    return HttpServerResponse.formData(form)
  }).pipe(Effect.map(HttpServerResponse.setStatus(200))),
  stream: Effect.succeed(
    HttpServerResponse.stream(Stream.map(Stream.fromIterable(sent), (part) => Buffer.from(part)))
  ),
  later: Effect.delay(Effect.succeed(HttpServerResponse.text("later")), "5 millis"),
  fails: Effect.fail("no response"),
  tells: Effect.fail(new Told()),
  dies: Effect.die(new Error("a defect")),
  throws: Effect.suspend(() => {
    throw new Error("thrown")
  }),
  "dies with an answer": Effect.die(HttpServerResponse.text("answer", { status: 409 })),
  interrupts: Effect.interrupt,
  "bad header": Effect.succeed(HttpServerResponse.empty({ status: 200, headers: { "x-bad": "a\nb" } })),
  echo: Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) =>
    Effect.map(request.text, (body) =>
      HttpServerResponse.unsafeJson({
        body,
        method: request.method,
        url: request.url,
        original: request.modify({ url: "/else" }).originalUrl,
        changed: request.modify({ url: "/else", remoteAddress: "::1" }).url,
        type: request.headers["content-type"] ?? null,
        cookies: request.cookies,
        text: String(request)
      })
    )
  ),
  bytesOf: Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) =>
    Effect.map(request.arrayBuffer, (body) => HttpServerResponse.uint8Array(new Uint8Array(body)))
  ),
  params: Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) =>
    Effect.map(request.urlParamsBody, (body) => HttpServerResponse.unsafeJson(body))
  ),
  json: Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) =>
    Effect.map(request.json, (body) => HttpServerResponse.unsafeJson({ body }))
  ),
  streamed: Effect.map(HttpServerRequest.HttpServerRequest, (request) =>
    HttpServerResponse.stream(Stream.orDie(request.stream))
  ),
  upgrade: Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) =>
    Effect.as(request.upgrade, HttpServerResponse.empty())
  ),
  "last word": Effect.as(
    HttpApp.appendPreResponseHandler((_, response) =>
      Effect.succeed(HttpServerResponse.setHeader(response, "x-last", "word"))
    ),
    HttpServerResponse.text("changed")
  )
}

const names = Object.keys(answers)

/** The app whose answer the path names. */
const byName: App = Effect.flatMap(
  HttpServerRequest.HttpServerRequest,
  ({ url }) => answers[decodeURIComponent(url.slice(1).split("?")[0] ?? "")] ?? Effect.die("no such answer")
)

const { constantFrom, option, record, string } = FastCheck

const asked = record({
  method: constantFrom("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"),
  name: constantFrom(...names),
  body: option(FastCheck.oneof(string(), constantFrom('{"a":1}', "a=1&b=2", "x".repeat(200_000))), {
    nil: undefined
  })
})

const toAsked = ({
  method,
  name,
  body
}: {
  method: string
  name: string
  body: string | undefined
}): Asked => ({
  method,
  path: `/${encodeURIComponent(name)}?q=1`,
  body: method === "GET" || method === "HEAD" ? undefined : body
})

/** Boundaries of a form are drawn anew for each. */
const comparable = <A>(answer: A): A =>
  JSON.parse(JSON.stringify(answer).replaceAll(/-+formdata-undici-\d+/g, "boundary"))

describe("an app behind the daemon's listener", () => {
  it.scopedLive("answers as behind the platform's, each kind of answer to each method", () =>
    Effect.gen(function* () {
      const watch = watching()
      const [here, there] = [yield* ours(byName, watch), yield* platforms(byName)]
      for (const name of names)
        for (const method of ["GET", "HEAD", "POST"]) {
          const wanted = toAsked({ method, name, body: "a=b" })
          const [one, other] = [yield* ask(here, wanted), yield* ask(there, wanted)]
          expect(comparable(one), `${method} ${name}`).toEqual(comparable(other))
        }
      yield* eventually(() => watch.open === 0)
    })
  )

  it.scopedLive("answers as behind the platform's, whatever is asked", () =>
    Effect.gen(function* () {
      const [here, there] = [yield* ours(byName), yield* platforms(byName)]
      yield* Effect.promise(() =>
        FastCheck.assert(
          FastCheck.asyncProperty(asked, async (each) => {
            const wanted = toAsked(each)
            const one = await Effect.runPromise(ask(here, wanted))
            expect(comparable(one)).toEqual(comparable(await Effect.runPromise(ask(there, wanted))))
          }),
          { numRuns: 100 }
        )
      )
    })
  )

  it.scopedLive("is interrupted where its caller leaves, and its scope is closed", () =>
    Effect.gen(function* () {
      for (const serve of [ours, platforms]) {
        const began = yield* Deferred.make<void>()
        const ended: Array<string> = []
        const app: App = Effect.interruptible(
          Effect.andThen(Deferred.succeed(began, undefined), Effect.never).pipe(
            Effect.onInterrupt(() => Effect.sync(() => ended.push("interrupted")))
          )
        )
        const scoped: App = Effect.andThen(
          Effect.addFinalizer(() => Effect.sync(() => ended.push("closed"))),
          app
        )
        const server = yield* serve(scoped)
        const client = connect(portOf(server), "127.0.0.1").on("error", () => {})
        client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        yield* Deferred.await(began)
        client.destroy()
        yield* eventually(() => ended.length === 2)
        expect(ended).toEqual(["interrupted", "closed"])
      }
    })
  )

  it.scopedLive("is asked for no more of a stream than its caller takes, which ends with the caller", () =>
    Effect.gen(function* () {
      const watch = watching()
      let given = 0
      let isEnded = false
      const bytes = Buffer.alloc(64 * 1024)
      const stream = Stream.repeatEffect(
        Effect.sync(() => {
          given++
          return bytes
        })
      ).pipe(Stream.ensuring(Effect.sync(() => (isEnded = true))))
      const server = yield* ours(Effect.succeed(HttpServerResponse.stream(stream)), watch)
      const client = connect(portOf(server), "127.0.0.1").on("error", () => {})
      client.pause()
      client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
      yield* eventually(() => given > 0)
      let before = -1
      // Until the buffers between are full: then nothing moves any more.
      yield* eventually(() => {
        const isSame = before === given
        before = given
        return isSame
      })
      expect(given).toBeLessThan(2000)
      client.destroy()
      yield* eventually(() => isEnded && watch.open === 0)
    })
  )

  it.scopedLive(
    "cuts the connection where a stream breaks off: an answer that just ends would look complete",
    () =>
      Effect.gen(function* () {
        const broken = Stream.concat(Stream.make(Buffer.from("a part")), Stream.fail("broken"))
        const failing = new PassThrough()
        const pipe = Effect.sync(() => {
          failing.write("a part")
          setImmediate(() => failing.destroy(new Error("broken")))
          return HttpServerResponse.raw(failing)
        })
        for (const app of [Effect.succeed(HttpServerResponse.stream(broken)), pipe]) {
          const watch = watching()
          const server = yield* ours(app, watch)
          const exit = yield* Effect.exit(
            Effect.tryPromise(async () => (await fetch(`http://127.0.0.1:${portOf(server)}`)).text())
          )
          expect(Exit.isFailure(exit)).toBe(true)
          yield* eventually(() => watch.open === 0)
        }
      })
  )

  it.scopedLive("closes what a body has open, also where its caller has gone already", () =>
    Effect.gen(function* () {
      const watch = watching()
      const body = new PassThrough()
      const listener = yield* RequestListener.make(
        ofHttpApp(Effect.succeed(HttpServerResponse.raw(body))),
        watch
      ).pipe(untraced)
      const server = yield* listening((request, response) => {
        response.destroy()
        listener(request, response)
      })
      connect(portOf(server), "127.0.0.1")
        .on("error", () => {})
        .write("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
      yield* eventually(() => body.destroyed && watch.open === 0)
    })
  )

  it.scopedLive(
    "ends with a request that waits for nothing, and does more than ask, before the listener returns",
    () =>
      Effect.gen(function* () {
        const watch = watching()
        const listener = yield* RequestListener.make(ofHttpApp(byName), watch).pipe(untraced)
        const prompt: Array<readonly [string | undefined, boolean]> = []
        const server = yield* listening((request, response) => {
          listener(request, response)
          prompt.push([request.url, response.writableEnded && watch.open === 0])
        })
        for (const path of ["/text", "/later"]) yield* ask(server, { method: "POST", path, body: "" })
        expect(prompt).toEqual([
          ["/text", true],
          ["/later", false]
        ])
      })
  )
})

class Word extends Context.Tag("Word")<Word, string>() {}

/** An app that gives its answer headers beside its own, and what it is done with. */
const begun: Begin<never, never, Word> = ({ request, scope, services }) => {
  if (request.url === "/throws") throw new Error("thrown")
  return {
    answer: Effect.map(Word, (word) => HttpServerResponse.text(word, { headers: { "x-id": "its own" } })),
    context: Context.add(Context.add(services, Word, "given"), Scope.Scope, scope),
    headers: () => ["x-id", "7", "x-more", "m"]
  }
}

describe("a request that an app has begun", () => {
  it.scopedLive(
    "is answered alike by the listener and as an HttpApp, with the headers that count for every answer",
    () =>
      Effect.gen(function* () {
        const here = yield* RequestListener.make(begun, watching()).pipe(untraced, Effect.flatMap(listening))
        const traced = yield* RequestListener.make(begun, watching()).pipe(Effect.flatMap(listening))
        const there = yield* platforms(toHttpApp(begun))
        const wanted = { method: "GET", path: "/", body: undefined }
        const found = yield* ask(here, wanted)
        expect(found).toMatchObject({ status: 200, body: "given", headers: { "x-id": "7", "x-more": "m" } })
        expect(yield* ask(there, wanted)).toEqual(found)
        expect(yield* ask(traced, wanted)).toEqual(found)
        for (const server of [here, traced, there])
          expect((yield* ask(server, { ...wanted, path: "/throws" })).status).toBe(500)
      })
  )

  it.scopedLive("has the platform's span around it where spans are taken, below the caller's", () =>
    Effect.gen(function* () {
      const spans: Array<Tracer.Span> = []
      const tracer = Tracer.make({
        span: (name, parent, context, links, startTime, kind) => {
          const attributes = new Map<string, unknown>()
          const span: Tracer.Span = {
            _tag: "Span",
            name,
            parent,
            context,
            links,
            kind,
            attributes,
            spanId: "1",
            traceId: parent._tag === "Some" ? parent.value.traceId : "none",
            sampled: true,
            status: { _tag: "Started", startTime },
            end: () => {},
            attribute: (key, value) => void attributes.set(key, value),
            event: () => {},
            addLinks: () => {}
          }
          spans.push(span)
          return span
        },
        context: (run) => run()
      })
      const app: App = Effect.map(HttpServerRequest.HttpServerRequest, () => HttpServerResponse.text("a"))
      const listener = yield* RequestListener.make(ofHttpApp(app), watching()).pipe(
        Effect.provide(Layer.setTracer(tracer))
      )
      const server = yield* listening(listener)
      yield* Effect.promise(async () => {
        const headers = { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" }
        await (await fetch(`http://127.0.0.1:${portOf(server)}/a?b=c`, { headers })).text()
      })
      expect(spans).toHaveLength(1)
      expect(spans[0]).toMatchObject({ kind: "server", traceId: "0af7651916cd43dd8448eb211c80319c" })
      expect(Object.fromEntries(spans[0]?.attributes ?? [])).toMatchObject({
        "url.path": "/a",
        "url.query": "b=c",
        "http.response.status_code": 200
      })
    })
  )
})

/** Answers that an app may know when it has read the request, by their paths. */
const known: Readonly<Record<string, HttpServerResponse.HttpServerResponse>> = {
  "/empty": HttpServerResponse.empty({ status: 404 }),
  "/text": HttpServerResponse.text("täxt", { headers: { "x-id": "its own" } }),
  "/long": HttpServerResponse.text("€".repeat(50_000)),
  "/bad header": HttpServerResponse.empty({ status: 200, headers: { "x-bad": "a\nb" } }),
  "/raw": HttpServerResponse.raw("raw"),
  "/stream": HttpServerResponse.stream(Stream.make(Buffer.from("a stream")))
}

/** Gives its answers at once where it may; `how` has which it did. */
const answeringAtOnce = (how: Array<boolean>): Begin<never, never, HttpServerRequest.HttpServerRequest> => {
  const headers = ["x-id", "7"]
  return ({ request, services, isAtOnce }) => {
    const response = known[decodeURIComponent(request.url)] ?? HttpServerResponse.empty({ status: 400 })
    how.push(isAtOnce)
    if (isAtOnce) return { response, headers }
    return {
      answer: Effect.succeed(response),
      context: Context.add(services, HttpServerRequest.HttpServerRequest, request),
      headers: () => headers
    }
  }
}

describe("an answer that an app knows when it has read the request", () => {
  it.scopedLive("is the one that a fiber would have written, and takes none", () =>
    Effect.gen(function* () {
      const watch = watching()
      const how: Array<boolean> = []
      const app = answeringAtOnce(how)
      const listener = yield* RequestListener.make(app, watch).pipe(untraced)
      const prompt: Array<boolean> = []
      const here = yield* listening((request, response) => {
        listener(request, response)
        // Behind what the listener may have put there.
        setImmediate(() => prompt.push(response.writableEnded && watch.open === 0))
      })
      const later: typeof app = (given) => app({ ...given, isAtOnce: false })
      const there = yield* RequestListener.make(later, watch).pipe(untraced, Effect.flatMap(listening))
      for (const path of Object.keys(known))
        for (const method of ["GET", "HEAD"]) {
          const wanted = { method, path: encodeURI(path), body: undefined }
          expect(yield* ask(here, wanted), `${method} ${path}`).toEqual(yield* ask(there, wanted))
        }
      yield* eventually(() => watch.open === 0)
      expect(how).toEqual(how.map((_, at) => at % 2 === 0))
      expect(prompt.slice(0, 4)).toEqual([true, true, true, true])
    })
  )

  it.scopedLive(
    "is left to a fiber where spans are taken, or where somebody has a last word about answers",
    () =>
      Effect.gen(function* () {
        const how: Array<boolean> = []
        const make = RequestListener.make(answeringAtOnce(how), watching())
        const last = HttpApp.appendPreResponseHandler((_, response) =>
          Effect.succeed(HttpServerResponse.setHeader(response, "x-last", "word"))
        )
        const traced = yield* Effect.flatMap(make, listening)
        const changed = yield* Effect.andThen(last, make).pipe(untraced, Effect.flatMap(listening))
        const wanted = { method: "GET", path: "/text", body: undefined }
        expect((yield* ask(traced, wanted)).headers).toMatchObject({ "x-id": "7" })
        expect((yield* ask(changed, wanted)).headers).toMatchObject({ "x-id": "7", "x-last": "word" })
        expect(how).toEqual([false, false])
      })
  )
})

/** So many connections to a server, on each of which it has read something already. */
const connected = (server: Server, count: number) =>
  Effect.promise(() =>
    Promise.all(
      Array.from({ length: count }, async () => {
        const socket = connect(portOf(server), "127.0.0.1")
        socket.write("HEAD /first HTTP/1.1\r\nHost: a\r\n\r\n")
        await once(socket, "data")
        return socket
      })
    )
  )

/** All of it is there for the server before that reads any: these are written in one turn of the event loop. */
const writeTogether = (requests: ReadonlyArray<readonly [Socket, string, string?]>) => {
  for (const [socket, line, more = "\r\n"] of requests) socket.write(`${line} HTTP/1.1\r\nHost: a\r\n${more}`)
}

describe("requests that only ask, or bring little", () => {
  it.scopedLive("are begun together, in their order, behind the last that is read in the same turn", () =>
    Effect.gen(function* () {
      const watch = watching()
      const events: Array<string> = []
      const batches: Array<Batch | undefined> = []
      const waits: Array<boolean> = []
      const whole: Array<string> = []
      const read = new Map<string, number>()
      const app: Begin<never, never, never> = ({ request, batch, since }) => {
        events.push(`begun ${request.url}`)
        if (request.source instanceof IncomingMessage && request.source.complete) whole.push(request.url)
        batches.push(batch)
        waits.push(since <= (read.get(request.url) ?? 0) && batch?.isGoing === true)
        return { response: HttpServerResponse.empty(), headers: [] }
      }
      const listener = yield* RequestListener.make(app, watch).pipe(untraced)
      const server = yield* listening((request, response) => {
        listener(request, response)
        read.set(request.url ?? "", performance.now())
        events.push(`${watch.open} ${request.url}`)
      })
      const [a, b, c, d, e, f, g] = yield* connected(server, 7)
      if (!a || !b || !c || !d || !e || !f || !g) return yield* Effect.die("not connected")
      for (const list of [events, batches, waits, whole]) list.length = 0
      writeTogether([
        [a, "HEAD /a"],
        [b, "POST /b"],
        [c, "GET /c"],
        [d, "POST /d", "Content-Length: 1\r\n\r\nx"],
        [e, "POST /e", `Content-Length: 16384\r\n\r\n${"x".repeat(16_384)}`],
        [f, "POST /f", "Content-Length: 1\r\nExpect: 100-continue\r\n\r\nx"],
        [g, "GET /g"]
      ])
      yield* eventually(() => events.length === 14)
      expect(events).toEqual([
        "1 /a",
        ...["begun /b", "1 /b"],
        ...["2 /c", "3 /d"],
        ...["begun /e", "3 /e", "begun /f", "3 /f"],
        "4 /g",
        ...["begun /a", "begun /c", "begun /d", "begun /g"]
      ])
      expect(watch.open).toBe(0)
      // What node holds without a reader is here by then.
      expect(whole).toEqual(["/a", "/c", "/d", "/g"])
      const [ofB, ofE, ofF, ofA, ...others] = batches
      expect([ofB, ofE, ofF]).toEqual([undefined, undefined, undefined])
      expect(waits).toEqual([false, false, false, true, true, true, true])
      expect(others.map((batch) => batch === ofA)).toEqual([true, true, true])
      // What it found counts no more.
      expect(ofA?.isGoing).toBe(false)
      writeTogether([[a, "HEAD /alone"]])
      yield* eventually(() => batches.length === 8)
      expect(batches[7]).toBeUndefined()
    })
  )

  it.scopedLive("are interrupted where their caller left before they were begun", () =>
    Effect.gen(function* () {
      const watch = watching()
      const ended: Array<string> = []
      const app: App = Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ url }) =>
        url === "/first"
          ? Effect.succeed(HttpServerResponse.empty())
          : Effect.interruptible(Effect.never).pipe(
              Effect.onInterrupt(() => Effect.sync(() => ended.push(url)))
            )
      )
      const listener = yield* RequestListener.make(ofHttpApp(app), watch).pipe(untraced)
      const server = yield* listening((request, response) => {
        if (request.url === "/first") return listener(request, response)
        response.once("close", () => listener(request, response))
        request.socket.destroy()
      })
      const [client] = yield* connected(server, 1)
      client?.on("error", () => {}).write("GET /left HTTP/1.1\r\nHost: a\r\n\r\n")
      yield* eventually(() => watch.open === 0 && ended.length === 1)
      expect(ended).toEqual(["/left"])
    })
  )

  it.scopedLive("are answered before the end of who sends no more behind them", () =>
    Effect.gen(function* () {
      const listener = yield* RequestListener.make(ofHttpApp(byName), watching()).pipe(untraced)
      const server = yield* listening((request, response) => {
        listener(request, response)
        // As where TLS brings the request and the end in one piece.
        request.socket.push(null)
      })
      expect(yield* ask(server, { method: "GET", path: "/text", body: undefined })).toMatchObject({
        status: 202
      })
    })
  )
})
