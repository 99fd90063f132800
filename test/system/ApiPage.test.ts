/** The page and the document that describe the API, through the whole app. */
import { createHash } from "node:crypto"
import { HttpClient, OpenApi } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { RelayApi } from "../../src/RelayApi.ts"
import { nodesListLayer } from "../../src/testing/Topology.ts"
import { temporaryFolder } from "../support/Folders.ts"
import { servedRelay } from "../support/ServedRelay.ts"
import { tree } from "../support/Sharing.ts"

const get = (path: string) =>
  Effect.gen(function* () {
    const directory = yield* temporaryFolder
    return yield* Effect.gen(function* () {
      const client = yield* HttpClient.HttpClient
      const response = yield* client.get(path)
      return { status: response.status, headers: response.headers, body: yield* response.text }
    }).pipe(Effect.provide(servedRelay(directory, nodesListLayer(tree))))
  })

describe("the API's description", () => {
  it.scopedLive("is served under both base paths", () =>
    Effect.gen(function* () {
      for (const base of ["/rudder/relay-api", "/rudder/relay-api/1"]) {
        const { body, headers, status } = yield* get(`${base}/openapi.json`)
        expect(status).toBe(200)
        expect(headers["content-type"]).toBe("application/json")
        expect(body).toBe(JSON.stringify(OpenApi.fromApi(RelayApi)))
      }
    })
  )

  it.scopedLive("is a page whose policy lets the scripts and styles in it run, and nothing else", () =>
    Effect.gen(function* () {
      const { body, headers, status } = yield* get("/rudder/relay-api/docs")
      expect(status).toBe(200)
      const policy = headers["content-security-policy"] ?? ""
      expect(policy).toMatch(/^default-src 'none'; /)
      expect(policy).not.toMatch(/unsafe|https?:|\*/)
      for (const element of ["script", "style"]) {
        const inline = [...body.matchAll(new RegExp(`<${element}>([\\s\\S]*?)</${element}>`, "g"))]
        expect(inline.length).toBe(1)
        for (const [, text = ""] of inline)
          expect(policy).toContain(
            `${element}-src 'sha256-${createHash("sha256").update(text).digest("base64")}'`
          )
      }
      expect(body).not.toMatch(/<(?:script|link|img|iframe)[^>]+(?:src|href)=/)
    })
  )
})
