/** Files in great number: signed without a process for each, and sent over connections that are kept. */
import { createPrivateKey, sign } from "node:crypto"
import { readFileSync } from "node:fs"
import * as Http from "node:http"
import type { Relay } from "./Program.ts"
import type { Sender } from "./Senders.ts"

export interface BulkSender {
  /** The query that shares this content, under whatever name. */
  readonly query: (content: Buffer) => string
  /** The status of the answer; fails where there is none. */
  readonly post: (relay: Relay, path: string, content: Buffer) => Promise<number>
  readonly close: () => void
}

/**
 * A kept connection may be closed by the server, as idle, in the moment in which a request goes out on it. Nothing of the
 * request was taken then, and the client asks again on a connection of its own.
 */
const post = (agent: Http.Agent, url: string, content: Buffer): Promise<number> =>
  new Promise((resolve, reject) => {
    const headers = { "content-length": content.length }
    const request = Http.request(url, { agent, method: "POST", headers }, (response) => {
      response.on("error", reject)
      response.resume().once("end", () => resolve(response.statusCode ?? 0))
    })
    request.on("error", (error: NodeJS.ErrnoException) => {
      if (request.reusedSocket && error.code === "ECONNRESET") resolve(post(agent, url, content))
      else reject(error)
    })
    request.end(content)
  })

/** @param connections at once, at most */
export const bulkSender = (from: Sender, connections: number): BulkSender => {
  const key = createPrivateKey(readFileSync(from.keyFile))
  const agent = new Http.Agent({ keepAlive: true, maxSockets: connections })
  return {
    query: (content) =>
      new URLSearchParams({
        "source-uuid": from.id,
        signature: sign("sha512", content, key).toString("base64url"),
        "public-key": from.publicKey
      }).toString(),
    post: (relay, path, content) => post(agent, `${relay.url}${path}`, content),
    close: () => agent.destroy()
  }
}
