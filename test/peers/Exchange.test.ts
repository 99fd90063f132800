import { IncomingMessage } from "node:http"
import * as Net from "node:net"
import { NodeContext } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Layer } from "effect"
import { makeSettings } from "../../src/config/GivenSettings.ts"
import { RelayConfig } from "../../src/config/RelayConfig.ts"
import { exchange, type Heard, hear, type PeerRequest } from "../../src/peers/Exchange.ts"
import { PeerClient } from "../../src/peers/PeerClient.ts"
import * as PeerConnections from "../../src/peers/PeerConnections.ts"
import * as SilenceWatch from "../../src/peers/SilenceWatch.ts"
import { certificateNamed } from "../support/Keys.ts"
import { endlessBodies, type MadPeer, madPeers } from "../support/MadPeers.ts"
import { outwaited, rawServer } from "../support/RawServer.ts"
import { eventually } from "../support/Until.ts"

const identity = certificateNamed("relay", [["UID", "peer"]])

const long = Duration.seconds(20)
/** Of the test's clock, and less than a connection has to come about. */
const short = Duration.seconds(8)

interface Asking {
  /** Is used up by the test's clock. Default: one that no peer here is to need. */
  readonly patience?: Duration.Duration
  readonly send?: PeerRequest["send"]
  readonly headers?: PeerRequest["headers"]
  readonly secure?: boolean
  /** Is waited for before the server ends, whose sockets go with it. */
  readonly before?: Effect.Effect<void>
}

/** What comes of a request to a server that does this with each connection: the status, and what was heard of the body. */
const asking = (
  connection: (socket: Net.Socket) => void,
  { patience, send, headers, secure, before }: Asking = {}
) =>
  Effect.gen(function* () {
    const { port } = yield* rawServer(connection, secure === true ? identity : undefined)
    const url = new URL(`http${secure === true ? "s" : ""}://127.0.0.1:${port}`)
    const client = yield* PeerClient
    const socket = yield* client.connect({ url, keys: Effect.succeed([identity.x509.publicKey]) })
    const exchanging = exchange(
      socket,
      { method: "PUT", url, headers: headers ?? {}, send: send ?? ((request) => request.end("content")) },
      yield* SilenceWatch.make(patience ?? long),
      (response) =>
        Effect.map(
          hear(response, { maxLength: 1000, within: patience ?? long }),
          (heard): Heard & { readonly status: number | undefined } => ({
            status: response.statusCode,
            ...heard
          })
        )
    )
    const answered = yield* patience === undefined ? exchanging : outwaited(exchanging, patience)
    yield* before ?? Effect.void
    return answered
  }).pipe(
    Effect.scoped,
    Effect.provide(
      PeerConnections.layer.pipe(
        Layer.provide(
          Layer.succeed(RelayConfig, makeSettings({ general: { peerAuthentication: "cert_pinning" } }))
        ),
        Layer.provide(NodeContext.layer)
      )
    )
  )

/** A connection to a server that does this with it. */
const connectedTo = (connection: (socket: Net.Socket) => void) =>
  Effect.gen(function* () {
    const { port } = yield* rawServer(connection, undefined)
    const socket = Net.connect(port, "127.0.0.1").on("error", () => {})
    yield* Effect.addFinalizer(() => Effect.sync(() => socket.destroy()))
    return { socket, url: new URL(`http://127.0.0.1:${port}`) }
  })

describe("a peer", () => {
  it.effect.each<MadPeer>(madPeers)("that $what has not answered", ({ connection }) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(asking(connection, { patience: short }))
      expect(error).toMatchObject({ _tag: "PeerUnreachable" })
      // A reset may be there before the connection is.
      expect(["broken", "silent", "connection"]).toContain(error.reason)
      expect(error.message).toMatch(/^127\.0\.0\.1:\d+: \S.*\S$/)
    })
  )

  it.effect.each<MadPeer>(endlessBodies)("that $what has said 200, but not to the end", ({ connection }) =>
    Effect.gen(function* () {
      const outcome = yield* Effect.either(asking(connection, { patience: short }))
      if (outcome._tag === "Right") expect(outcome.right).toMatchObject({ status: 200, whole: false })
      else expect(outcome.left).toMatchObject({ reason: "silent" })
    })
  )

  it.live("that says 101 is told from one that broke off", () =>
    Effect.gen(function* () {
      const connection = (socket: Net.Socket) =>
        socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
      expect(yield* Effect.flip(asking(connection))).toMatchObject({
        reason: "broken",
        message: expect.stringMatching(/answered 101/)
      })
    })
  )
})

interface Closing {
  readonly how: string
  readonly close: (socket: Net.Socket) => void
}

const closings: ReadonlyArray<Closing> = [
  { how: "ends", close: (socket) => socket.end() },
  { how: "closes", close: (socket) => setImmediate(() => socket.destroy()) },
  { how: "resets", close: (socket) => setImmediate(() => socket.resetAndDestroy()) }
]

describe.each<{ readonly kind: string; readonly head: string; readonly body: string }>([
  { kind: "with a length", head: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", body: "hello" },
  {
    kind: "with a length, on a connection that it closes",
    head: "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\n",
    body: "hello"
  },
  {
    kind: "in chunks",
    head: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    body: "5\r\nhello\r\n0\r\n\r\n"
  },
  {
    kind: "behind others that are none",
    head: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
    body: "hello"
  }
])("an answer $kind", ({ head, body }) => {
  const answer = head + body

  it.live.each<Closing>(closings)(
    "cut behind any of its bytes by a peer that then $how is whole or it is not",
    ({ close }) =>
      Effect.forEach(
        Array.from({ length: answer.length + 1 }, (_, length) => length),
        (length) =>
          Effect.gen(function* () {
            const outcome = yield* Effect.either(
              asking((socket) =>
                socket.once("data", () => socket.write(answer.slice(0, length) || "", () => close(socket)))
              )
            )
            if (length < head.length)
              expect(outcome).toMatchObject({ _tag: "Left", left: { reason: "broken" } })
            else
              expect(outcome).toMatchObject({
                _tag: "Right",
                right: { status: 200, whole: length === answer.length }
              })
          }),
        { concurrency: 8, discard: true }
      )
  )
})

it.live("an answer up to the end of the connection is whole there", () =>
  Effect.gen(function* () {
    const connection = (socket: Net.Socket) =>
      socket.once("data", () => socket.end("HTTP/1.0 200 OK\r\n\r\nhello"))
    expect(yield* asking(connection)).toMatchObject({ status: 200, text: "hello", whole: true })
  })
)

describe("an answer that came before all was sent", () => {
  const early = "HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno"

  it.live.each([
    { over: "TCP", secure: false },
    { over: "TLS", secure: true }
  ])("is read though the next write fails, over $over", ({ secure }) =>
    Effect.gen(function* () {
      let send = () => {}
      const connection = (socket: Net.Socket) =>
        socket.once("data", () => {
          socket.pause()
          // All in one turn: what is sent next finds a connection that the peer has reset, its answer unread before it.
          send()
          socket.write(early)
          socket.destroySoon()
          socket.once("close", send)
        })
      const answered = asking(connection, {
        secure,
        headers: { "content-length": 1 << 20 },
        send: (request) => {
          send = () => request.write(Buffer.alloc(16 * 1024))
          request.write("begin")
        }
      })
      expect(yield* answered).toMatchObject({ status: 403, text: "no", whole: true })
    })
  )

  it.live("leaves a peer that reads on the rest", () =>
    Effect.gen(function* () {
      let taken = 0
      const content = Buffer.alloc(8 * 1024 * 1024, "x")
      const connection = (socket: Net.Socket) => {
        socket.once("data", () => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
        socket.on("data", (bytes: Buffer) => {
          taken += bytes.length
        })
      }
      const sending = asking(connection, {
        headers: { "content-length": content.length },
        send: (request) => request.end(content),
        before: eventually(() => taken >= content.length)
      })
      expect(yield* sending).toMatchObject({ status: 200, whole: true })
    })
  )
})

describe("an answer without a body", () => {
  it.live.each(["garbage", "\0\0\0\0", "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", '{"message":"no"}'])(
    "is believed, whatever comes with it: %j",
    (more) =>
      Effect.gen(function* () {
        for (const status of [200, 404]) {
          const answer = `HTTP/1.1 ${status} X\r\nContent-Length: 0\r\n\r\n${more}`
          const connection = (socket: Net.Socket) => socket.once("data", () => socket.write(answer))
          expect(yield* asking(connection)).toEqual({ status, text: "", whole: true })
        }
      })
  )
})

describe("a peer that falls silent while nobody waits for that", () => {
  /** A watch whose patience is over when the test says so. */
  const scripted = () => {
    let fallSilent = () => {}
    const watch: SilenceWatch.SilenceWatch = {
      patience: long,
      begin: (watched) => {
        fallSilent = watched.fellSilent
        return () => {}
      }
    }
    return { watch, fallSilent: () => fallSilent() }
  }
  /** Answers, and reads nothing of what is sent. */
  const deaf = (head: string) => (socket: Net.Socket) => {
    socket.pause()
    socket.write(`HTTP/1.1 200 OK\r\n${head}\r\n\r\n`)
  }
  const content = Buffer.alloc(8 * 1024 * 1024)

  it.live("between its answer's head and who hears the rest of it, is silent to them", () =>
    Effect.gen(function* () {
      const { watch, fallSilent } = scripted()
      const via = yield* connectedTo(deaf("Content-Length: 2"))
      const send: PeerRequest["send"] = (request) => {
        // Behind the listener that settles the answer, and before anybody has taken it.
        request.once("response", fallSilent).end(content)
      }
      const asked = exchange(
        via.socket,
        { method: "PUT", url: via.url, headers: {}, send },
        watch,
        () => Effect.never
      )
      expect(yield* Effect.flip(asked)).toMatchObject({ reason: "silent" })
    }).pipe(Effect.scoped)
  )

  it.live("while its answer is made use of, is offered no more", () =>
    Effect.gen(function* () {
      const { watch, fallSilent } = scripted()
      const via = yield* connectedTo(deaf("Content-Length: 0"))
      const send: PeerRequest["send"] = (request) => void request.end(content)
      const used = () => Effect.as(Effect.sync(fallSilent), "used")
      expect(
        yield* exchange(via.socket, { method: "PUT", url: via.url, headers: {}, send }, watch, used)
      ).toBe("used")
    }).pipe(Effect.scoped)
  )
})

describe("an answer whose connection was lost before it was heard", () => {
  const lost = (complete: boolean) => {
    const message = new IncomingMessage(new Net.Socket())
    message.on("error", () => {})
    message.push("hello")
    if (complete) message.push(null)
    message.complete = complete
    message.destroy()
    return message
  }

  it.live.each([true, false])("has what node had of it, and is whole if that was all: %s", (complete) =>
    Effect.gen(function* () {
      const message = lost(complete)
      expect(yield* hear(message, { maxLength: 1000, within: long })).toEqual({
        text: "hello",
        whole: complete
      })
      expect(yield* hear(lost(complete), { maxLength: 2, within: long })).toEqual({ text: "he", whole: true })
    })
  )
})
