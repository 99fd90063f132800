/** `rudder-relay sandbox`: a complete relay to play with, in a folder of its own. */

import type { KeyObject } from "node:crypto"
import { createServer, type Server } from "node:net"
import { FileSystem, Path } from "@effect/platform"
import { Console, Effect, Layer, Option, Stream } from "effect"
import type { Settings } from "../config/Settings.ts"
import { base } from "../http/BasePath.ts"
import { RemoteRun } from "../remote-run/RemoteRun.ts"
import { configuration, relay } from "./Serve.ts"
import { quoted } from "./ShellWord.ts"
import { exitCode, StartError } from "./StartError.ts"
import * as Keys from "./sandbox/Keys.ts"
import * as SharedFile from "./sandbox/SharedFile.ts"
import { behaviours, script } from "./sandbox/SimulatedAgent.ts"

const preferredPort = 3030

const listening = (host: string, port: number) =>
  Effect.acquireRelease(
    Effect.async<Server, StartError>((resume) => {
      const server = createServer((socket) => socket.destroy())
      server.once("error", ({ message }) => resume(new StartError({ code: exitCode.start, message })))
      server.listen(port, host, () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.async<void>((resume) => void server.close(() => resume(Effect.void)))
  )

/**
 * A port that no other sandbox has while this one lives, though its relay listens only later: it is taken on another
 * address of the loopback too.
 */
const claim = (port: number) =>
  Effect.map(listening("127.0.0.2", port), (server) => {
    const address = server.address()
    return typeof address === "object" && address !== null ? address.port : port
  })

/** The preferred port, or one that is free. */
const freePort = claim(preferredPort).pipe(
  Effect.tap(() => Effect.scoped(listening("127.0.0.1", preferredPort))),
  Effect.orElse(() => claim(0))
)

/** The nodes' hostnames by their ids, which are easy to read and to type. */
const hostnames = new Map<string, string>([
  ["root", "server.example.com"],
  ...behaviours.map(([hostname]) => [hostname.split(".")[0] ?? hostname, hostname] as const)
])

const nodesList = (keys: ReadonlyMap<string, KeyObject>) =>
  Object.fromEntries(
    Array.from(hostnames, ([id, hostname]) => {
      const key = keys.get(id)
      return [
        id,
        {
          hostname,
          "policy-server": "root",
          ...(key === undefined ? {} : { "key-hash": Keys.hashOf(key) })
        }
      ]
    })
  )

/** What a sandbox's configuration begins with. */
const mark = "# A relay to play with"

const mainConf = (
  directory: string,
  port: number
) => `${mark}: "rudder-relay serve --config ${directory}" serves it too.
[general]
node_id = "root"
nodes_list_file = "${directory}/nodeslist.json"
nodes_certs_file = "${directory}/allnodescerts.pem"
listen = "127.0.0.1:${port}"
shutdown_grace = "3s"

[remote_run]
# A simulated agent; a real relay runs /opt/rudder/bin/rudder, with sudo.
command = "${directory}/rudder"
use_sudo = false
max_concurrent = 8
timeout = "12s"
directory = "${directory}/runs"

[shared_files]
path = "${directory}/shared-files"
outbox = "${directory}/outbox"

[shared_folder]
path = "${directory}/shared-folder"

[log]
level = "warn"
`

const written = ["main.conf", "nodeslist.json", "allnodescerts.pem", "rudder"]

/** Fails where files stand that are not a sandbox's: they may be a real relay's. */
const checkFolder = (directory: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const there = (yield* fs.exists(directory)) ? yield* fs.readDirectory(directory) : []
    if (!there.some((name) => written.includes(name))) return
    const configuration = yield* Effect.orElseSucceed(
      fs.readFileString(path.join(directory, "main.conf")),
      () => ""
    )
    if (!configuration.startsWith(mark))
      return yield* new StartError({
        code: exitCode.start,
        message: `${directory} has files in it that are not a sandbox's; choose another with --directory`
      })
  })

/** Writes everything anew but what was recorded: what is played with can be broken, and mends by starting again. */
const write = (directory: string, port: number) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    yield* fs.makeDirectory(directory, { recursive: true })
    // First, and in one piece: by it another sandbox that starts now knows that this is one.
    const configuration = path.join(directory, "main.conf")
    yield* fs.writeFileString(`${configuration}.${process.pid}`, mainConf(directory, port))
    yield* fs.rename(`${configuration}.${process.pid}`, configuration)
    const keys = yield* Keys.make(directory, [...hostnames.keys()])
    const list = JSON.stringify(nodesList(keys), null, 2)
    yield* fs.writeFileString(path.join(directory, "nodeslist.json"), list)
    yield* fs.writeFileString(path.join(directory, "allnodescerts.pem"), "")
    const agent = path.join(directory, "rudder")
    yield* fs.writeFileString(agent, script)
    yield* fs.chmod(agent, 0o755)
    return keys
  })

const introduction = (directory: string, url: string) => `A Rudder relay in ${directory}, at ${url}
It manages ${behaviours.length + 1} simulated nodes. Here is one run of all of them, as it goes on:
`

/** How this program is called: by its name where it has been installed, else by node. */
const itself = (): string => {
  const [, file = "rudder-relay"] = process.argv
  return /\.c?js$/.test(file) ? `node ${quoted(file)}` : quoted(file)
}

const invitation = (url: string, lastRun: string) => `
That was: curl -sN '${url}/remote-run/all?output=keep&async=yes'

To go on (this relay runs until Ctrl-C):
  curl -sN '${url}/remote-run/node/web1?output=keep'                    one node, as it prints
  curl -sN '${url}/remote-run/nodes?nodes=web1,build&output=keep'       some, node by node
  curl -sN '${url}/remote-run/nodes?nodes=web1,db1&output=keep&async=yes&format=ndjson&classes=force_update'
  curl -s '${url}/remote-run/all?async=yes'                             start all, wait for none
  curl -s '${url}/remote-run/runs'                                      what ran
  curl -sN '${url}/remote-run/runs/${lastRun}/output'                   that run once more
  curl -s -X DELETE '${url}/remote-run/runs/ID'                         cancel one that goes on
  curl -s '${url}/system/status'                                        how the relay is

This program asks relays, too:
  ${itself()} run web1 db1 --view gather --url ${new URL(url).origin}
  ${itself()} runs --url ${new URL(url).origin}
`

/** Shows one run of all nodes, as it goes on. */
const showRun = Effect.gen(function* () {
  const remoteRun = yield* RemoteRun
  const run = yield* remoteRun.start({ target: { _tag: "All" }, classes: [], output: "keep" })
  yield* Stream.runForEach(run.read({ format: "text", order: "live", after: 0 }), (bytes) =>
    Effect.sync(() => process.stdout.write(bytes))
  )
  return run.id
})

const play = (directory: string, url: string, keys: ReadonlyMap<string, KeyObject>) =>
  Effect.gen(function* () {
    yield* Console.log(introduction(directory, url))
    const id = yield* showRun
    const key = keys.get(SharedFile.source)
    if (key !== undefined) yield* Console.log(SharedFile.shown(directory, yield* SharedFile.share(url, key)))
    yield* Console.log(invitation(url, id))
    yield* Console.log(SharedFile.byHand(directory, url))
  })

const failed = (error: { readonly message: string }) =>
  new StartError({ code: exitCode.start, message: error.message })

/** Writes, serves and plays on a port. A second sandbox beside the first has a folder of its own. */
const playOn = (chosen: string, port: number) =>
  Effect.gen(function* () {
    const path = yield* Path.Path
    const directory = port === preferredPort ? chosen : path.join(chosen, String(port))
    const keys = yield* Effect.mapError(write(directory, port), failed)
    const loaded = yield* configuration(directory)
    const url = `${originOf(loaded.settings)}${base}`
    const shown = Layer.scopedDiscard(Effect.forkScoped(play(directory, url, keys)))
    return yield* Layer.launch(Layer.provide(shown, relay(loaded, directory)))
  })

/** The environment may have set another address than the one that was written. */
const originOf = ({ general, tls }: Settings): string => {
  const { host, port } = general.listen
  const name = host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host
  return `${Option.isSome(tls.identity) ? "https" : "http"}://${name.includes(":") ? `[${name}]` : name}:${port}`
}

const isTaken = (error: StartError): boolean => error.message.includes("EADDRINUSE")

/** Makes a sandbox in a folder, and serves it. */
export const playIn = (directory: string) =>
  Effect.gen(function* () {
    const path = yield* Path.Path
    const chosen = path.resolve(directory)
    yield* Effect.catchTags(checkFolder(chosen), { BadArgument: failed, SystemError: failed })
    const onFreePort = Effect.scoped(Effect.flatMap(freePort, (port) => playOn(chosen, port)))
    // Another may take the port between the look and the start.
    return yield* Effect.retry(onFreePort, { while: isTaken, times: 3 })
  })
