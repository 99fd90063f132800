/** What a policy server or a sub-relay does that has gone mad, and what one does that has not. */
import { setTimeout as after } from "node:timers/promises"
import type { Madness, MadRequest } from "./MadServer.ts"
import type { Chance } from "./Seeded.ts"

const answer = (status: number | string, body = "", headers = ""): string =>
  `HTTP/1.1 ${status} Whatever\r\n${headers}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`

const ended =
  (text: string): Madness =>
  (_, connection) =>
    void connection.end(text)
const open =
  (text: string): Madness =>
  (_, connection) =>
    void connection.write(text)

const interim = (status: number): Madness => {
  const one = `HTTP/1.1 ${status} Early\r\nLink: </a>; rel=preload\r\n\r\n`
  return (_, connection) => {
    for (let i = 0; i < 300; i++) connection.write(one)
    connection.end(answer(200, "late"))
  }
}

/** An answer a byte at a time, broken off. */
const drip =
  (text: string): Madness =>
  async (_, connection) => {
    for (const byte of text) {
      if (connection.destroyed) return
      connection.write(byte)
      await after(20)
    }
    connection.destroy()
  }

const statuses = [
  0, 99, 199, 200, 204, 206, 301, 304, 307, 401, 404, 407, 409, 413, 417, 429, 500, 502, 503, 599, 999
]

/** Ways to answer that are none, or hardly, for whatever was asked. */
export const wireMadness = (luck: Chance): ReadonlyArray<readonly [string, Madness]> => [
  ["reset", (_, __, under) => void under.resetAndDestroy()],
  ["end without an answer", ended("")],
  ["destroyed", (_, connection) => void connection.destroy()],
  ["garbage", (_, connection) => void connection.end(luck.bytes(1 + luck.below(3000)))],
  ["garbage inside of TLS", (_, __, under) => void under.end(luck.bytes(500))],
  ["101", open("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nhello")],
  ["101 without an upgrade", ended("HTTP/1.1 101 Switching Protocols\r\n\r\n")],
  ["102s", interim(102)],
  ["103s", interim(103)],
  ["100s", interim(100)],
  ["cut in its head", ended("HTTP/1.1 200 OK\r\nContent-Le")],
  ["cut in its body", ended("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort")],
  ["cut in a chunk", ended("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nshort")],
  ["no chunk", ended("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n")],
  ["a chunk too large", ended("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx")],
  ["two lengths", ended("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab")],
  ["a length below nothing", ended("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n")],
  [
    "length and chunks",
    ended("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
  ],
  ["more than its length", ended(`${answer(200, "x")}and more${answer(500)}`)],
  ["two answers", open(answer(200) + answer(200))],
  ["HTTP/1.0", ended("HTTP/1.0 200 OK\r\n\r\nuntil the end")],
  ["HTTP/2", ended("HTTP/2 200\r\n\r\n")],
  ["closing", ended(answer(200, "", "Connection: close\r\n"))],
  ["a head too large", ended(`HTTP/1.1 200 OK\r\nX: ${"x".repeat(200_000)}\r\n\r\n`)],
  ["a thousand headers", ended(`HTTP/1.1 200 OK\r\n${"X: x\r\n".repeat(3000)}\r\n`)],
  ["a body of 3 MB that nobody wants", ended(answer(200, "x".repeat(3_000_000)))],
  ["drip", drip(answer(200, "drop by drop"))],
  ["any status", (_, connection) => void connection.end(answer(luck.pick(statuses), "because"))],
  ["a redirect to itself", (_, connection) => void connection.end(answer(302, "", "Location: /\r\n"))]
]

const nodesOf = ({ body }: MadRequest): ReadonlyArray<string> =>
  (new URLSearchParams(body.toString("latin1")).get("nodes") ?? "").split(",").filter((id) => id !== "")

const id = "01a20d95-8074-734c-8f08-1a8079fbc55f"
const run = (nodes: ReadonlyArray<string>) =>
  JSON.stringify({ event: "run", id, nodes, unknown: [], classes: [] })
const end = (node: string, fields = '"code":0,"duration":0.1,"stderr":""') =>
  `{"event":"end","node":${JSON.stringify(node)},${fields}}`
const output = (node: string, fields: string) =>
  `{"event":"output","node":${JSON.stringify(node)},"stream":"stdout",${fields}}`
const done = '{"event":"done","ok":1,"failed":0,"duration":0.1}'

type Lines = (nodes: ReadonlyArray<string>, luck: Chance) => ReadonlyArray<string>

const each =
  (line: (node: string) => string | ReadonlyArray<string>): Lines =>
  (nodes) => [run(nodes), ...nodes.flatMap(line), done]

/** Fields of an end that are none. */
const ends = [
  '"code":0,"duration":1e400,"stderr":""',
  '"code":0,"duration":-1,"stderr":""',
  '"code":1e400,"duration":1,"stderr":""',
  '"code":-1.5,"duration":1,"stderr":""',
  '"code":"0","duration":"1","stderr":null',
  '"code":null,"duration":1,"stderr":""',
  `"code":null,"signal":"${"S".repeat(4_000_000)}","duration":1,"stderr":""`,
  `"code":1,"duration":1,"stderr":"${"e".repeat(4_000_000)}"`,
  '"code":null,"error":{"_tag":1},"duration":1,"stderr":""',
  '"code":null,"error":{"_tag":"X","message":"\\u0000\\u001b[31m\\nlevel=ERROR"},"duration":1,"stderr":""',
  '"code":0,"duration":1,"stderr":"","dropped":-1e400',
  '"code":0,"duration":1,"stderr":"\\ud800"'
]

const conversations: ReadonlyArray<readonly [string, Lines]> = [
  ...ends.map((fields): readonly [string, Lines] => [
    `an end with ${fields.slice(0, 60)}`,
    each((node) => end(node, fields))
  ]),
  ["ends twice", each((node) => [end(node), end(node, '"code":1,"duration":2,"stderr":""')])],
  ["a start after the end", each((node) => [end(node), `{"event":"start","node":"${node}","hostname":"x"}`])],
  ["output after the end", each((node) => [end(node), output(node, '"line":"late"')])],
  ["foreign nodes", (nodes) => [run(nodes), end("stranger"), end("n0"), end("__proto__"), end(""), done]],
  ["output of foreign nodes", (nodes) => [run(nodes), output("n0", '"line":"forged"'), done]],
  ["a run of other nodes", () => [run(["n0", "n1"]), end("n0"), done]],
  ["a run that is none", () => ['{"event":"run","id":7,"nodes":"all"}', done]],
  ["an id that leads elsewhere", (nodes) => [run(nodes).replace(id, "../../../etc/passwd"), done]],
  ["two runs", (nodes) => [run(nodes), run(nodes), ...nodes.map((node) => end(node)), done, done]],
  ["done at once", (nodes) => [done, run(nodes), ...nodes.map((node) => end(node))]],
  ["no run", (nodes) => nodes.map((node) => end(node))],
  [
    "all unknown",
    (nodes) => [JSON.stringify({ event: "run", id, nodes: [], unknown: nodes, classes: [] }), done]
  ],
  [
    "no JSON",
    (nodes, luck) => [run(nodes), "{", "}", "null", "[]", '"x"', luck.bytes(50).toString("latin1")]
  ],
  ["depth", (nodes) => [run(nodes), "[".repeat(200_000), `{"event":${"[".repeat(50_000)}`]],
  ["no base64", each((node) => [output(node, '"line":"x","base64":"%%%"'), end(node)])],
  ["a line of 4 MB", each((node) => [output(node, `"line":"${"l".repeat(4_000_000)}"`), end(node)])],
  [
    "a stream that is none",
    each((node) => [output(node, '"line":7'), output(node, '"line":"x","stream":"3"')])
  ],
  ["pings", (nodes) => [run(nodes), ...Array.from({ length: 5000 }, () => '{"event":"ping"}')]],
  [
    "events that nobody knows",
    each((node) => [`{"event":"rumour","node":"${node}"}`, '{"event":null}', end(node)])
  ]
]

/** Answers in ndjson that are none, or of another run. */
export const runMadness = (luck: Chance): ReadonlyArray<readonly [string, Madness]> =>
  conversations.map(([name, lines]) => [
    name,
    (request, connection) => {
      const text = `${lines(nodesOf(request), luck).join("\n")}${luck.pick(["\n", "", "\r\n"])}`
      const type = `Content-Type: ${luck.pick(["application/x-ndjson", "application/x-ndjson", "text/plain"])}\r\n`
      if (luck.below(2) === 0) connection.end(answer(200, text, `${type}Connection: close\r\n`))
      // In a few pieces, and now and then without an end.
      else {
        connection.write(`HTTP/1.1 200 OK\r\n${type}Transfer-Encoding: chunked\r\n\r\n`)
        const bytes = Buffer.from(text)
        const step = Math.max(1, Math.ceil(bytes.length / (1 + luck.below(4))))
        for (let at = 0; at < bytes.length; at += step) {
          const piece = bytes.subarray(at, at + step)
          connection.write(`${piece.length.toString(16)}\r\n`)
          connection.write(piece)
          connection.write("\r\n")
        }
        connection.end(luck.below(3) === 0 ? "" : "0\r\n\r\n")
      }
    }
  ])

/** Takes every file, has none, and every agent ends well. */
export const sane: Madness = (request, connection) => {
  if (request.method === "HEAD") connection.end("HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n")
  else if (request.target.includes("/remote-run/")) {
    const nodes = nodesOf(request)
    const lines = [run(nodes), ...nodes.map((node) => end(node)), done, ""]
    const type = "Content-Type: application/x-ndjson\r\nConnection: close\r\n"
    connection.end(answer(200, lines.join("\n"), type))
  } else connection.end(answer(200, '{"result":"stored"}', "Connection: close\r\n"))
}
