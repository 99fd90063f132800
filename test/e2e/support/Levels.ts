/** Relays of a tree, each the built program, over TLS with pinned certificates. */
import { writeFileSync } from "node:fs"
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
