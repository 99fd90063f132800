/**
 * A program that calls a relay: it runs some nodes, folds what they say into one line each, and shares a file.
 * `node client.js URL NODES FILE SOURCE TARGET KEY`; over TLS with the files in RELAY_CERT, CLIENT_CERT and CLIENT_KEY.
 */
import { readFileSync } from "node:fs"
import { basename } from "node:path"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Stream } from "effect"
import { ClientConnection, RelayClient, type RunStreamEvent } from "rudder-relay"

const [url = "http://127.0.0.1:3030", nodes = "", file = "", source = "", target = "", key = ""] =
  process.argv.slice(2)

const pem = (name: string, path = process.env[name]) =>
  path === undefined ? undefined : readFileSync(path, "utf8")
const given = { pinned: pem("RELAY_CERT"), cert: pem("CLIENT_CERT"), key: pem("CLIENT_KEY") }
const { pinned, cert, key: certKey } = given
const connection = ClientConnection.layer({
  ...(pinned === undefined ? {} : { pinned }),
  ...(cert === undefined || certKey === undefined ? {} : { cert, key: certKey })
})

/** How many lines a node has printed, and how it ended. */
interface Tally {
  readonly lines: number
  readonly ended: string
}

const add = (tallies: ReadonlyMap<string, Tally>, event: RunStreamEvent): ReadonlyMap<string, Tally> => {
  if (event.event !== "output" && event.event !== "end") return tallies
  const { lines, ended } = tallies.get(event.node) ?? { lines: 0, ended: "" }
  const tally =
    event.event === "output"
      ? { lines: lines + 1, ended }
      : { lines, ended: event.code === 0 ? "ok" : (event.error?.message ?? `code ${event.code}`) }
  return new Map([...tallies, [event.node, tally]])
}

const program = Effect.gen(function* () {
  const client = yield* RelayClient
  // A cut connection is taken up again, without loss or repeat, before any of this is told of it.
  const tallies = yield* client
    .run({ nodes: nodes.split(","), actor: "example", reason: "to show it" })
    .pipe(Stream.runFold<ReadonlyMap<string, Tally>, RunStreamEvent>(new Map(), add))
  for (const [node, { lines, ended }] of tallies) yield* Console.log(`${node}: ${lines} lines, ${ended}`)

  // Signs, asks whether the relay has it, and sends it if not.
  const fileId = basename(file)
  const shared = yield* client.shareFile(file, {
    source,
    target,
    fileId,
    key: readFileSync(key, "utf8"),
    ttl: "1d"
  })
  yield* Console.log(`${fileId}: ${shared.result}`)
})

const relay = RelayClient.layer({ url }).pipe(Layer.provide(connection))
NodeRuntime.runMain(program.pipe(Effect.provide(Layer.merge(relay, NodeContext.layer))))
