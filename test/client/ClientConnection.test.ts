/** Connections over TLS: by whom a relay is trusted, and how it knows its caller. */
import { createHash } from "node:crypto"
import * as Https from "node:https"
import type { TLSSocket } from "node:tls"
import { HttpClient } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as ClientConnection from "../../src/client/ClientConnection.ts"
import { selfSigned } from "../../src/testing/SelfSigned.ts"

const relay = selfSigned([["UID", "relay"]])
const other = selfSigned([["UID", "other"]])
const caller = selfSigned([["UID", "root"]])

/** A server that says which key its caller has shown. */
const server = Effect.gen(function* () {
  const listening = Https.createServer(
    { cert: relay.cert, key: relay.key, requestCert: true, rejectUnauthorized: false },
    ({ socket }, response) => {
      // An HTTPS server's sockets are TLS sockets.
      const peer = (socket as TLSSocket).getPeerX509Certificate()
      response.end(
        peer === undefined
          ? "nobody"
          : createHash("sha256")
              .update(peer.publicKey.export({ type: "spki", format: "der" }))
              .digest("hex")
      )
    }
  )
  yield* Effect.acquireRelease(
    Effect.async<void>((resume) => void listening.listen(0, "127.0.0.1", () => resume(Effect.void))),
    () =>
      Effect.sync(() => {
        listening.close()
        listening.closeAllConnections()
      })
  )
  const address = listening.address()
  return `https://127.0.0.1:${typeof address === "object" ? address?.port : ""}/`
})

const asking = (options: ClientConnection.ConnectionOptions) =>
  Effect.gen(function* () {
    const url = yield* server
    return yield* Effect.flatMap(HttpClient.get(url), (answer) => answer.text).pipe(
      Effect.provide(ClientConnection.layer(options))
    )
  })

describe("a connection over TLS", () => {
  it.scopedLive(
    "knows the relay by a certificate that is pinned, whatever its names, and shows its own",
    () =>
      Effect.gen(function* () {
        expect(yield* asking({ pinned: relay.cert })).toBe("nobody")
        expect(yield* asking({ pinned: other.cert + relay.cert })).toBe("nobody")
        expect(yield* asking({ pinned: relay.cert, cert: caller.cert, key: caller.key })).toBe(
          createHash("sha256").update(caller.spki).digest("hex")
        )
      })
  )

  it.scopedLive(
    "trusts the relay's own certificate without a look at names, where that may be an authority's too",
    () =>
      Effect.gen(function* () {
        expect(yield* asking({ trusted: other.cert + relay.cert })).toBe("nobody")
      })
  )

  it.scopedLive("is none with a relay that is another, or whose name is another", () =>
    Effect.gen(function* () {
      for (const options of [{}, { pinned: other.cert }, { ca: relay.cert }, { trusted: other.cert }])
        expect(yield* Effect.flip(asking(options))).toMatchObject({ _tag: "RequestError" })
    })
  )
})
