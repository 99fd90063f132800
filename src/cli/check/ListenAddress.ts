/** The address that is served: whether it can be listened on, and who has it where it is taken. */
import * as fs from "node:fs/promises"
import { createServer } from "node:net"
import { Effect, Option } from "effect"
import type { Settings } from "../../config/Settings.ts"
import { type Findings, finding, type Kind, nothing, within } from "./Finding.ts"
import type { ServingRelay } from "./ServingRelay.ts"
import { SystemFailure, system } from "./SystemCall.ts"

const key = "general.listen"

/** To find a name's address may take a while. Seconds. */
const patience = 10

/** A socket that listens, as `/proc/net/tcp` has it: its number, and its owner's. */
interface Listening {
  readonly inode: string
  readonly uid: number
}

/** The state of a socket that listens. */
const listening = "0A"

const socketsAt = (port: number) =>
  system(async () => {
    const tables = await Promise.all(
      ["/proc/net/tcp", "/proc/net/tcp6"].map((table) => fs.readFile(table, "latin1").catch(() => ""))
    )
    const end = `:${port.toString(16).toUpperCase().padStart(4, "0")}`
    return tables.flatMap((table) =>
      table.split("\n").flatMap((line): ReadonlyArray<Listening> => {
        const [, local = "", , state, , , , uid = "", , inode = ""] = line.trim().split(/\s+/)
        return state === listening && local.endsWith(end) ? [{ inode, uid: Number(uid) }] : []
      })
    )
  }).pipe(Effect.orElseSucceed((): ReadonlyArray<Listening> => []))

const hasSocket = async (pid: string, sockets: ReadonlySet<string>): Promise<boolean> => {
  const open = await fs.readdir(`/proc/${pid}/fd`).catch(() => [])
  for (const descriptor of open)
    if (sockets.has(await fs.readlink(`/proc/${pid}/fd/${descriptor}`).catch(() => ""))) return true
  return false
}

/** The process that has one of the sockets, where this user may see it. */
const ownerOf = (found: ReadonlyArray<Listening>) =>
  system(async () => {
    const sockets = new Set(found.map(({ inode }) => `socket:[${inode}]`))
    for (const pid of await fs.readdir("/proc"))
      if (/^\d+$/.test(pid) && (await hasSocket(pid, sockets))) {
        const name = await fs.readFile(`/proc/${pid}/comm`, "utf8").catch(() => "")
        return Option.some({ pid: Number(pid), name: name.trim() })
      }
    return Option.none()
  }).pipe(Effect.orElseSucceed(() => Option.none()))

const uidOf = (pid: number) =>
  system(async () => (await fs.stat(`/proc/${pid}`)).uid).pipe(Effect.orElseSucceed(() => -1))

/** Who has an address that is taken. */
const taken = (where: string, port: number, { ours }: ServingRelay) =>
  Effect.gen(function* () {
    const told = (kind: Kind, message: string) => [
      finding(kind, "listener", { key, message: `${where} is in use by ${message}` })
    ]
    const byOurs = (pid: number) =>
      told("warning", `the relay that runs on this configuration already, process ${pid}`)
    const found = yield* socketsAt(port)
    const owner = yield* ownerOf(found)
    if (Option.isSome(owner)) {
      const { name, pid } = owner.value
      return ours.has(pid) ? byOurs(pid) : told("start", `another program: process ${pid}, ${name}`)
    }
    // Another user's, whose processes can't be looked into: by the user that it belongs to.
    for (const pid of ours) {
      const uid = yield* uidOf(pid)
      if (found.some((one) => one.uid === uid)) return byOurs(pid)
    }
    const users = [...new Set(found.map(({ uid }) => uid))].join(", ")
    return told("start", `another program${users === "" ? "" : ` of the user with the id ${users}`}`)
  })

const listen = (host: string, port: number): Effect.Effect<void, SystemFailure> =>
  Effect.async((resume) => {
    const server = createServer()
    server.once("error", (cause) => {
      const code = "code" in cause ? String(cause.code) : ""
      resume(Effect.fail(new SystemFailure({ code, message: cause.message })))
    })
    server.listen(port, host, () => server.close(() => resume(Effect.void)))
    return Effect.sync(() => server.close())
  })

/** Whether the address can be listened on; one that the relay itself has already is as it should be. */
export const wrong = ({ general: { listen: address } }: Settings, serving: ServingRelay): Findings => {
  const { host, port } = address
  const where = `${host.includes(":") ? `[${host}]` : host}:${port}`
  const found = Effect.matchEffect(listen(host, port), {
    onFailure: ({ code, message }) =>
      code === "EADDRINUSE"
        ? taken(where, port, serving)
        : Effect.succeed([
            finding("start", "listener", { key, message: `can't listen on ${where}: ${message}` })
          ]),
    onSuccess: () => Effect.succeed(nothing)
  })
  return within(patience, "listener", { key, message: `whether ${where} can be listened on` }, found)
}
