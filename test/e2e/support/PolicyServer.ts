/** A policy server that is scripted: HTTPS with the certificate of an identity, and the answers that a test gives it. */
import { readFileSync } from "node:fs"
import type { IncomingMessage, ServerResponse } from "node:http"
import * as Https from "node:https"
import type { Socket } from "node:net"
import type { Identity } from "./Identities.ts"

/** An upload in the older form, the only one that relays use between themselves. */
export interface Upload {
  readonly target: string
  readonly source: string
  readonly fileId: string
  readonly ttl: string | null
  readonly header: Readonly<Record<string, string>>
  readonly content: Buffer
}

/** `reset`: the connection is torn. `silence`: nothing, ever. */
export type Reply =
  | { readonly status: number; readonly body?: string; readonly headers?: Record<string, string> }
  | "reset"
  | "silence"

export interface PolicyServer {
  readonly port: number
  readonly url: string
  /** Every request that was there whole: `PUT /path?query`. */
  readonly requests: ReadonlyArray<string>
  /** What uploads that are there whole are answered from now on. */
  readonly answer: (script: (upload: Upload) => Reply | Promise<Reply>) => void
  /** What HEAD is answered from now on: at first that nothing is there. */
  readonly answerHead: (script: (asked: URL) => Reply) => void
  /** Shows the certificate of another, as another server on this port would; connections that are there are closed. */
  readonly become: (identity: Identity) => void
  /** While it is down every connection is torn, those that are there too. */
  readonly setDown: (down: boolean) => void
}

const running = new Set<Https.Server>()

const credentials = ({ pem, key }: Identity) => ({ cert: pem, key: readFileSync(key) })

const blockOf = (text: string): Record<string, string> =>
  Object.fromEntries(
    text.split("\n").map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)])
  )

const uploadOf = (url: URL, body: Buffer): Upload => {
  const [target = "", source = "", fileId = ""] = url.pathname.split("/").slice(4).map(decodeURIComponent)
  const end = body.indexOf("\n\n")
  return {
    target,
    source,
    fileId,
    ttl: url.searchParams.get("ttl"),
    header: blockOf(body.subarray(0, end).toString("utf8")),
    content: body.subarray(end + 2)
  }
}

export const startPolicyServer = async (identity: Identity): Promise<PolicyServer> => {
  const requests: Array<string> = []
  const sockets = new Map<number | undefined, Socket>()
  let script: (upload: Upload) => Reply | Promise<Reply> = () => ({ status: 200 })
  let headScript: (asked: URL) => Reply = () => ({ status: 404 })

  const give = (request: IncomingMessage, response: ServerResponse, reply: Reply) => {
    if (reply === "silence") return
    // A TLS socket has no reset of its own.
    if (reply === "reset") sockets.get(request.socket.remotePort)?.resetAndDestroy()
    else response.writeHead(reply.status, reply.headers).end(reply.body)
  }

  const server = Https.createServer(credentials(identity), (request, response) => {
    const parts: Array<Buffer> = []
    request.on("error", () => {})
    request.on("data", (bytes: Buffer) => parts.push(bytes))
    request.on("end", async () => {
      const url = new URL(request.url ?? "/", "https://policy-server")
      requests.push(`${request.method} ${request.url}`)
      const reply =
        request.method === "PUT" ? await script(uploadOf(url, Buffer.concat(parts))) : headScript(url)
      give(request, response, reply)
    })
  })
  let isDown = false
  server.on("connection", (socket: Socket) => {
    if (isDown) {
      socket.resetAndDestroy()
      return
    }
    sockets.set(socket.remotePort, socket)
    socket.once("close", () => sockets.delete(socket.remotePort))
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  running.add(server)
  const address = server.address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  return {
    port,
    url: `https://127.0.0.1:${port}`,
    requests,
    answer: (given) => {
      script = given
    },
    answerHead: (given) => {
      headScript = given
    },
    become: (other) => {
      server.setSecureContext(credentials(other))
      server.closeAllConnections()
    },
    setDown: (down) => {
      isDown = down
      if (down) for (const socket of sockets.values()) socket.resetAndDestroy()
    }
  }
}

export const stopPolicyServers = (): void => {
  for (const server of running) {
    server.closeAllConnections()
    server.close()
  }
  running.clear()
}
