/** Relays of a tree, each the built program, over TLS with pinned certificates. */
import { writeFileSync } from "node:fs"
import * as Https from "node:https"
import { join } from "node:path"
import type { Identity } from "./Identities.ts"
import { type NodeEntry, prepare, type Relay, start } from "./Program.ts"

/** A node below this policy server. */
export const node = (policyServer: string, hostname = "node.example.com"): NodeEntry => ({
  hostname,
  "policy-server": policyServer
})

/** One relay of a tree. */
export interface Level {
  readonly identity: Identity
  readonly nodes: Record<string, NodeEntry>
  /** The port of the relays below. */
  readonly below?: number
  /** Whose certificates are known. */
  readonly known?: ReadonlyArray<Identity>
  readonly agent: string
  readonly access?: Record<string, ReadonlyArray<string>>
  /** `remote_run.reconnect` */
  readonly reconnect?: string
  /** `remote_run.max_concurrent` */
  readonly maxConcurrent?: number
  /** `general.shutdown_grace` */
  readonly grace?: string
  /** One that was there before, the place of which it takes: its folder, and its port. */
  readonly again?: Relay
}

/** Starts it, over TLS with pinned certificates. */
export const startLevel = async ({
  identity,
  nodes,
  below,
  known = [],
  agent,
  access,
  reconnect,
  again,
  grace,
  maxConcurrent
}: Level): Promise<Relay> => {
  const directory = again?.directory ?? prepare()
  const certificates = join(directory, "allnodescerts.pem")
  writeFileSync(certificates, known.map(({ pem }) => pem).join(""))
  return start({
    directory,
    nodes,
    agent,
    config: {
      general: {
        node_id: identity.id,
        nodes_list_file: join(directory, "nodeslist.json"),
        listen: `127.0.0.1:${again?.port ?? 0}`,
        nodes_certs_file: certificates,
        ...(grace === undefined ? {} : { shutdown_grace: grace }),
        ...(below === undefined ? {} : { https_port: below })
      },
      remote_run: {
        ...(reconnect === undefined ? {} : { reconnect }),
        ...(maxConcurrent === undefined ? {} : { max_concurrent: maxConcurrent })
      },
      tls: { certificate: identity.certificate, key: identity.key },
      ...(access === undefined ? {} : { access }),
      ...(identity.id === "root" ? {} : { "output.upstream": { host: "127.0.0.1" } })
    }
  })
}

/** Connections that are used again: a handshake with keys of that size costs more than what is asked. */
const connections = new Https.Agent({ keepAlive: true, rejectUnauthorized: false })

/** Asks a relay, and gives its answer's body as it comes; the answer may be left at any time. */
export const asking = (
  { port }: Relay,
  method: "GET" | "POST" | "DELETE",
  path: string,
  heard: (body: string, leave: () => void) => void
): Promise<void> =>
  new Promise((resolve, reject) => {
    const url = { agent: connections, port, method, host: "127.0.0.1", path: `/rudder/relay-api/${path}` }
    const request = Https.request(url, (response) => {
      let body = ""
      const leave = () => {
        response.destroy()
        resolve()
      }
      response.setEncoding("utf8").on("data", (text) => {
        body += text
        heard(body, leave)
      })
      response.on("end", resolve).on("error", reject)
    })
    request.on("error", reject)
    request.end()
  })

/** The whole of an answer, however long that takes. */
export const answerOf = async (
  relay: Relay,
  path: string,
  method: "GET" | "POST" | "DELETE" = "GET"
): Promise<string> => {
  let whole = ""
  await asking(relay, method, path, (body) => {
    whole = body
  })
  return whole
}
