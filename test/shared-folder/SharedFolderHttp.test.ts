/** The shared folder through the whole app, whose clock is ahead of the file system's: all files have settled. */
import { createHash } from "node:crypto"
import { mkdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { HttpClient, HttpClientRequest } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Option, type Scope, TestClock } from "effect"
import type { GivenSettings } from "../../src/index.ts"
import { nodesListLayer } from "../../src/testing/Topology.ts"
import { temporaryFolder } from "../support/Folders.ts"
import { servedRelay } from "../support/ServedRelay.ts"

const content = "0123456789"
const hashOf = (text: string, algorithm: "sha256" | "sha512" = "sha256") =>
  createHash(algorithm).update(text).digest("hex")

type Ask = (
  path: string,
  headers?: Record<string, string>,
  method?: "GET" | "HEAD"
) => Effect.Effect<
  { readonly status: number; readonly headers: Record<string, string>; readonly body: string },
  unknown
>

/** Uses a relay whose shared folder has `digits`, and `sub/a b;c`. */
const withRelay = <A, E>(
  use: (ask: Ask, directory: string) => Effect.Effect<A, E, Scope.Scope>,
  settings: GivenSettings = {}
) =>
  Effect.gen(function* () {
    const directory = yield* temporaryFolder
    mkdirSync(join(directory, "shared/sub"), { recursive: true })
    writeFileSync(join(directory, "shared/digits"), content)
    writeFileSync(join(directory, "shared/sub/a b;c"), "odd\n")
    yield* TestClock.setTime(Date.now() + 60_000)
    const layer = servedRelay(directory, nodesListLayer({}), {
      sharedFolder: { path: join(directory, "shared") },
      ...settings
    })
    return yield* Effect.gen(function* () {
      const client = yield* HttpClient.HttpClient
      const ask: Ask = (path, headers = {}, method = "GET") =>
        Effect.gen(function* () {
          const request = HttpClientRequest.make(method)(`/rudder/relay-api${path}`, { headers })
          const response = yield* client.execute(request)
          return { status: response.status, headers: response.headers, body: yield* response.text }
        }).pipe(Effect.scoped)
      return yield* use(ask, directory)
    }).pipe(Effect.provide(layer))
  })

describe("GET shared-folder", () => {
  it.scoped("serves a file with what tells its version", () =>
    withRelay((ask) =>
      Effect.gen(function* () {
        const answer = yield* ask("/shared-folder/digits")
        expect(answer).toMatchObject({
          status: 200,
          body: content,
          headers: {
            "content-type": "application/octet-stream",
            "content-length": "10",
            "accept-ranges": "bytes",
            etag: expect.stringMatching(/^"[0-9a-f]+-[0-9a-f]+"$/),
            "last-modified": expect.stringMatching(/ GMT$/)
          }
        })
        expect((yield* ask("/1/shared-folder/digits")).body).toBe(content)
        expect((yield* ask("/shared-folder/sub/a%20b%3Bc")).body).toBe("odd\n")
        expect((yield* ask("/shared-folder/sub/a%20b;c")).body).toBe("odd\n")
      })
    )
  )

  it.scoped("serves a range, says when there is none, and goes on only with the same version", () =>
    withRelay((ask) =>
      Effect.gen(function* () {
        const path = "/shared-folder/digits"
        const part = yield* ask(path, { range: "bytes=2-5" })
        expect(part).toMatchObject({ status: 206, body: "2345" })
        expect(part.headers).toMatchObject({ "content-range": "bytes 2-5/10", "content-length": "4" })
        expect(yield* ask(path, { range: "bytes=10-" })).toMatchObject({
          status: 416,
          body: "",
          headers: { "content-range": "bytes */10" }
        })
        const etag = part.headers.etag ?? ""
        expect((yield* ask(path, { range: "bytes=9-", "if-range": etag })).body).toBe("9")
        expect(yield* ask(path, { range: "bytes=9-", "if-range": '"other"' })).toMatchObject({
          status: 200,
          body: content
        })
        expect(yield* ask(path, { "if-none-match": etag })).toMatchObject({
          status: 304,
          body: "",
          headers: { etag }
        })
      })
    )
  )

  it.scoped("says 304 when the hash is the file's, whatever else is asked", () =>
    withRelay((ask) =>
      Effect.gen(function* () {
        const status = (query: string, headers?: Record<string, string>) =>
          Effect.map(ask(`/shared-folder/digits?${query}`, headers), (answer) => answer.status)
        expect(yield* status(`hash=${hashOf(content)}`)).toBe(304)
        expect(yield* status(`hash=${hashOf(content).toUpperCase()}&hash_type=sha256`)).toBe(304)
        expect(yield* status(`hash=${hashOf(content, "sha512")}&hash_type=sha512`)).toBe(304)
        expect(yield* status(`hash=${hashOf(content)}`, { range: "bytes=2-5" })).toBe(304)
        for (const other of [
          `hash=${hashOf("else")}`,
          `hash=${hashOf("else", "sha512")}&hash_type=sha512`,
          "hash=",
          "hash_type=sha512"
        ])
          expect([other, yield* status(other)]).toEqual([other, 200])
        expect(yield* status(`hash=${hashOf("else")}`, { range: "bytes=2-5" })).toBe(206)
      })
    )
  )

  it.scoped("takes no hash that is none of its type, no other type, and no parameter twice", () =>
    withRelay((ask) =>
      Effect.gen(function* () {
        for (const [query, parameter] of [
          // Of the other type.
          [`hash=${hashOf(content, "sha512")}`, "hash"],
          [`hash=${hashOf(content)}&hash_type=sha512`, "hash"],
          ["hash=no-hash", "hash"],
          [`hash=${hashOf(content).slice(1)}`, "hash"],
          [`hash=${"0".repeat(5000)}`, "hash"],
          [`hash=${hashOf(content)}&hash_type=md5`, "hash_type"],
          ["hash_type=SHA256", "hash_type"],
          ["hash_type=sha384", "hash_type"],
          [`hash=${hashOf(content)}&hash=${hashOf(content)}`, "hash"],
          ["hash_type=sha256&hash_type=sha256", "hash_type"]
        ] as const)
          for (const file of ["digits", "absent"]) {
            const { status, body } = yield* ask(`/shared-folder/${file}?${query}`)
            expect([query, status]).toEqual([query, 400])
            expect(JSON.parse(body)).toMatchObject({ _tag: "InvalidRequest", parameter })
          }
      })
    )
  )

  it.scoped("has nothing else", () =>
    withRelay((ask, directory) =>
      Effect.gen(function* () {
        for (const path of [
          "absent",
          "sub",
          "sub/",
          "",
          "digits/",
          "digits/x",
          "%2e%2e/x",
          "sub%2Fa%20b%3Bc"
        ]) {
          const { status, body } = yield* ask(`/shared-folder/${path}?hash=${hashOf(content)}`)
          expect([path, status]).toEqual([path, 404])
          expect(JSON.parse(body)).toMatchObject({ _tag: "NotFound" })
        }
        rmSync(join(directory, "shared"), { recursive: true })
        expect((yield* ask("/shared-folder/digits")).status).toBe(404)
      })
    )
  )
})

describe("HEAD shared-folder", () => {
  it.scoped("says what GET says, without the content", () =>
    withRelay((ask) =>
      Effect.gen(function* () {
        for (const query of ["", `?hash=${hashOf(content)}`, `?hash=${hashOf("else")}`, "?hash_type=md5"]) {
          const get = yield* ask(`/shared-folder/digits${query}`)
          const head = yield* ask(`/shared-folder/digits${query}`, {}, "HEAD")
          expect(head.body).toBe("")
          expect(head.status).toBe(get.status)
          for (const name of ["etag", "last-modified", "content-length", "content-type", "accept-ranges"])
            expect([name, head.headers[name]]).toEqual([name, get.headers[name]])
        }
        expect((yield* ask("/shared-folder/absent", {}, "HEAD")).status).toBe(404)
        // HTTP has ranges for GET alone.
        expect((yield* ask("/shared-folder/digits", { range: "bytes=2-5" }, "HEAD")).status).toBe(200)
      })
    )
  )
})

describe("who asks for the shared folder", () => {
  it.scoped("has to come through a trusted proxy where that is no certificate's", () =>
    withRelay(
      (ask) =>
        Effect.gen(function* () {
          const { status, body } = yield* ask("/shared-folder/digits")
          expect(status).toBe(403)
          expect(JSON.parse(body)).toMatchObject({ _tag: "AccessDenied" })
          expect((yield* ask("/shared-folder/absent", {}, "HEAD")).status).toBe(403)
        }),
      { access: { trustedProxies: Option.some(["192.0.2.1"]) } }
    )
  )
})
