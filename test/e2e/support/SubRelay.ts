/** A sub-relay that is scripted: TLS with the certificate of an identity, and the answers that a test gives it. */
import { readFileSync } from "node:fs"
import * as Https from "node:https"
import type { Identity } from "./Identities.ts"

export interface SubRelayRequest {
  /** `POST /path HTTP/1.1` */
  readonly line: string
  readonly headers: Readonly<Record<string, string | ReadonlyArray<string> | undefined>>
  readonly body: string
}

export interface SubRelayAnswer {
  readonly status: number
  readonly body: string
  readonly headers?: Record<string, string>
}

export interface SubRelay {
  readonly port: number
  /** Every request that was there whole. */
  readonly requests: ReadonlyArray<SubRelayRequest>
  /** Shows the certificate of another from now on; connections that are there are closed. */
  readonly become: (identity: Identity) => void
}

const running = new Set<Https.Server>()

const credentials = ({ pem, key }: Identity) => ({ cert: pem, key: readFileSync(key) })

export const startSubRelay = async (
  identity: Identity,
  answer: (request: SubRelayRequest) => SubRelayAnswer
): Promise<SubRelay> => {
  const requests: Array<SubRelayRequest> = []
  const server = Https.createServer(credentials(identity), (request, response) => {
    const parts: Array<Buffer> = []
    request.on("error", () => {})
    request.on("data", (bytes: Buffer) => parts.push(bytes))
    request.on("end", () => {
      const { method, url, httpVersion, headers } = request
      const asked = {
        line: `${method} ${url} HTTP/${httpVersion}`,
        headers,
        body: Buffer.concat(parts).toString("utf8")
      }
      requests.push(asked)
      const { status, body, headers: given } = answer(asked)
      response.writeHead(status, given).end(body)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  running.add(server)
  const address = server.address()
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    requests,
    become: (other) => {
      server.setSecureContext(credentials(other))
      server.closeAllConnections()
    }
  }
}

export const stopSubRelays = (): void => {
  for (const server of running) {
    server.closeAllConnections()
    server.close()
  }
  running.clear()
}
