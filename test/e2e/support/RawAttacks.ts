/** What strangers do to a listener with a socket of their own. */
import { connect, type Socket } from "node:net"
import { setTimeout as after } from "node:timers/promises"
import { connect as connectTls } from "node:tls"
import type { Chance } from "./Seeded.ts"

export interface Attack {
  readonly name: string
  /** What was sent, as far as it can be printed. */
  readonly sent: string
  /** What came back. */
  readonly answer: string
}

const base = "/rudder/relay-api"
const paths = [
  `${base}/1/system/info`,
  `${base}/system/status`,
  `${base}/remote-run/all?async=yes`,
  `${base}/remote-run/node/n0?output=keep`,
  `${base}/remote-run/nodes`,
  `${base}/shared-files/t/c/file?hash=00`,
  `${base}/shared-files/node/t/file?source-uuid=c&hash=00`,
  `${base}/shared-folder/file`,
  "/metrics",
  "/",
  "*",
  "//",
  `${base}/%00`,
  `${base}/%2e%2e/%2e%2e`,
  `${base}/remote-run/node/${"n".repeat(5000)}`
]
const methods = [
  "GET",
  "HEAD",
  "PUT",
  "POST",
  "DELETE",
  "OPTIONS",
  "TRACE",
  "CONNECT",
  "PATCH",
  "PRI",
  "BREW"
]
const host = "Host: localhost\r\n"
const form = "Content-Type: application/x-www-form-urlencoded\r\n"

type Text = (luck: Chance) => string

const requests: ReadonlyArray<readonly [string, Text]> = [
  ["any method", (luck) => `${luck.pick(methods)} ${luck.pick(paths)} HTTP/1.1\r\n${host}\r\n`],
  [
    "an upgrade",
    (luck) =>
      `${luck.pick(methods)} ${luck.pick(paths)} HTTP/1.1\r\n${host}Connection: Upgrade\r\nUpgrade: ${luck.pick(["x", "websocket", "TLS/1.0", "h2c"])}\r\n\r\n`
  ],
  [
    "h2c with a body",
    (luck) =>
      `POST ${luck.pick(paths)} HTTP/1.1\r\n${host}${form}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\nContent-Length: 12\r\n\r\nclasses=a&x=`
  ],
  ["HTTP/2 with knowledge", () => "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12\x04\0\0\0\0\0"],
  ["CONNECT", () => `CONNECT example.com:443 HTTP/1.1\r\n${host}\r\nhello`],
  ["an absolute form", (luck) => `GET http://localhost${luck.pick(paths)} HTTP/1.1\r\n${host}\r\n`],
  ["an absolute form of another", () => `GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n`],
  [
    "a form that is no URL",
    (luck) => `GET ${luck.pick(["http://", "://", "?", "#", "\\", "/\\\\", "%"])} HTTP/1.1\r\n${host}\r\n`
  ],
  ["half a head", (luck) => `GET ${luck.pick(paths)} HTTP/1.1\r\nHost: loc`],
  [
    "half a body",
    (luck) => `POST ${luck.pick(paths)} HTTP/1.1\r\n${host}${form}Content-Length: 1000\r\n\r\nasync=y`
  ],
  [
    "no chunk",
    (luck) => `PUT ${luck.pick(paths)} HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n`
  ],
  [
    "half a chunk",
    (luck) => `POST ${luck.pick(paths)} HTTP/1.1\r\n${host}${form}Transfer-Encoding: chunked\r\n\r\nff\r\nhal`
  ],
  [
    "a chunk too large",
    (luck) =>
      `POST ${luck.pick(paths)} HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nx`
  ],
  [
    "length and chunks",
    (luck) =>
      `POST ${luck.pick(paths)} HTTP/1.1\r\n${host}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`
  ],
  [
    "two lengths",
    (luck) => `POST ${luck.pick(paths)} HTTP/1.1\r\n${host}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab`
  ],
  [
    "a length beyond all",
    (luck) => `PUT ${luck.pick(paths)} HTTP/1.1\r\n${host}Content-Length: 99999999999999999999\r\n\r\nx`
  ],
  [
    "an encoding that is none",
    (luck) => `POST ${luck.pick(paths)} HTTP/1.1\r\n${host}Transfer-Encoding: rot13\r\n\r\nx`
  ],
  [
    "expectations",
    (luck) =>
      `PUT ${luck.pick(paths)} HTTP/1.1\r\n${host}Expect: ${luck.pick(["100-continue", "miracles"])}\r\nContent-Length: 10\r\n\r\n`
  ],
  [
    "many at once",
    (luck) =>
      Array.from(
        { length: 1 + luck.below(30) },
        () => `GET ${luck.pick(paths)} HTTP/1.1\r\n${host}\r\n`
      ).join("")
  ],
  [
    "many forms at once",
    () =>
      `POST ${base}/remote-run/node/n0 HTTP/1.1\r\n${host}${form}Content-Length: 9\r\n\r\nasync=yes`.repeat(5)
  ],
  [
    "a head too large",
    (luck) =>
      `GET ${luck.pick(paths)} HTTP/1.1\r\n${host}X: ${"x".repeat(20_000 + luck.below(200_000))}\r\n\r\n`
  ],
  [
    "a thousand headers",
    (luck) => `GET ${luck.pick(paths)} HTTP/1.1\r\n${host}${"X-Y: z\r\n".repeat(1500)}\r\n`
  ],
  ["a target too large", () => `GET ${base}/system/info?${"x".repeat(100_000)} HTTP/1.1\r\n${host}\r\n`],
  ["no host", () => `GET ${base}/system/info HTTP/1.1\r\n\r\n`],
  ["two hosts", () => `GET ${base}/system/info HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n`],
  ["HTTP/1.0", (luck) => `GET ${luck.pick(paths)} HTTP/1.0\r\n\r\n`],
  ["HTTP/0.9", () => "GET /\r\n"],
  ["headers on two lines", () => `GET ${base}/system/info HTTP/1.1\r\n${host}X: a\r\n b\r\n\r\n`],
  ["a NUL", () => `GET ${base}/system/info HTTP/1.1\r\n${host}X: a\0b\r\n\r\n`],
  ["a bare LF", () => `GET ${base}/system/info HTTP/1.1\nHost: localhost\n\n`],
  ["garbage", (luck) => luck.bytes(1 + luck.below(2000)).toString("latin1")],
  ["a TLS hello", () => "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"],
  ["nothing", () => ""],
  [
    "forwarded from nowhere",
    () => `GET ${base}/system/info HTTP/1.1\r\n${host}X-Forwarded-For: ${",".repeat(3000)}\r\n\r\n`
  ]
]

/** How a connection ends from this side. */
const endings: ReadonlyArray<(socket: Socket) => void> = [
  (socket) => socket.resetAndDestroy(),
  (socket) => socket.resetAndDestroy(),
  (socket) => socket.destroy(),
  (socket) => socket.end()
]

const opened = (port: number): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => resolve(socket))
    socket.once("error", reject)
  })

/** In one piece, or in a few with time between them. */
const send = async (socket: Socket, text: string, luck: Chance): Promise<void> => {
  const bytes = Buffer.from(text, "latin1")
  const pieces = luck.below(3) === 0 ? 1 + luck.below(5) : 1
  const step = Math.max(1, Math.ceil(bytes.length / pieces))
  for (let at = 0; at < bytes.length && socket.writable; at += step) {
    socket.write(bytes.subarray(at, at + step))
    if (pieces > 1) await after(luck.below(20))
  }
}

/** One connection to a plain listener. */
export const attack = async (port: number, luck: Chance): Promise<Attack> => {
  const [name, text] = luck.pick(requests)
  const socket = await opened(port)
  let answer = ""
  socket.on("error", () => {})
  socket.on("data", (bytes) => {
    if (answer.length < 100_000) answer += bytes.toString("latin1")
  })
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()))
  const sent = text(luck)
  await send(socket, sent, luck)
  if (luck.below(2) === 0) await Promise.race([closed, after(luck.below(400))])
  luck.pick(endings)(socket)
  await Promise.race([closed, after(1000)])
  socket.destroy()
  return { name, sent: JSON.stringify(sent.slice(0, 300)), answer }
}

/** One connection to a listener of TLS: garbage, a handshake that stops, or one after which it is plain folly. */
export const attackTls = async (port: number, luck: Chance): Promise<void> => {
  const socket = await opened(port)
  socket.on("error", () => {})
  const kind = luck.below(4)
  if (kind === 0) {
    await send(socket, luck.bytes(1 + luck.below(500)).toString("latin1"), luck)
  } else if (kind === 1) {
    await send(socket, luck.pick(requests)[1](luck), luck)
  } else if (kind === 2) {
    await send(socket, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".slice(0, 1 + luck.below(11)), luck)
  } else {
    const secured = connectTls({ socket, rejectUnauthorized: false })
    secured.on("error", () => {})
    secured.once("secureConnect", () => secured.write(luck.pick(requests)[1](luck), "latin1"))
  }
  await after(luck.below(300))
  luck.pick(endings)(socket)
  await after(5)
  socket.destroy()
}
