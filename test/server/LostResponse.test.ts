import { createServer } from "node:http"
import { type AddressInfo, connect, type Socket } from "node:net"
import { describe, expect, it } from "@effect/vitest"
import { LostResponse } from "../../src/server/LostResponse.ts"

/** What a server does with one request; gives the response and what was told of its end. */
const answered = (after: (response: LostResponse, told: () => void) => void, lose: boolean) =>
  new Promise<number>((resolve) => {
    let count = 0
    const server = createServer({ ServerResponse: LostResponse }, (_, response) => {
      const told = () => {
        count++
        // Whoever would be told twice is told in the same turn, or the next.
        setImmediate(() => setImmediate(() => server.close(() => resolve(count)).closeAllConnections()))
      }
      if (lose) response.once("close", () => after(response, told))
      else after(response, told)
      if (lose) client?.resetAndDestroy()
    })
    let client: Socket | undefined
    server.listen(0, "127.0.0.1", () => {
      // A TCP server's address is never a path.
      client = connect((server.address() as AddressInfo).port, "127.0.0.1").on("error", () => {})
      client.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
      client.resume()
    })
  })

describe("the end of a response", () => {
  it("is told once when all was sent", async () => {
    expect(await answered((response, told) => response.end("whole", told), false)).toBe(1)
    expect(await answered((response, told) => response.end("whole", "utf8", told), false)).toBe(1)
    expect(await answered((response, told) => response.end(told), false)).toBe(1)
  })

  it("is told once when the connection was lost before", async () => {
    expect(await answered((response, told) => response.end("too late", told), true)).toBe(1)
  })

  it("is told once when the connection is lost meanwhile", async () => {
    const after = (response: LostResponse, told: () => void) => {
      response.end("x".repeat(64 * 1024 * 1024), told)
      response.socket?.destroy()
    }
    expect(await answered(after, false)).toBe(1)
  })
})
