/** Which relay a command asks, and what is said where the options can't be followed. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import * as Http from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Option, TestClock } from "effect"
import * as AskedRelay from "../../src/cli/AskedRelay.ts"
import type { ClientOptions } from "../../src/cli/ClientOptions.ts"
import * as RelayProblem from "../../src/cli/RelayProblem.ts"
import { RelayClient } from "../../src/client/RelayClient.ts"
import { certificateNamed } from "../support/Keys.ts"
import { eventually } from "../support/Until.ts"

const none = { url: Option.none(), cacert: Option.none(), cert: Option.none(), certKey: Option.none() }
const variable = "RUDDER_RELAY_URL"

let before: string | undefined
let folder = ""
beforeEach(() => {
  before = process.env[variable]
  delete process.env[variable]
  folder = mkdtempSync(join(tmpdir(), "rudder-relay-client-"))
})
afterEach(() => {
  delete process.env[variable]
  if (before !== undefined) process.env[variable] = before
  rmSync(folder, { recursive: true, force: true })
})

const file = (name: string, text: string) => {
  const path = join(folder, name)
  writeFileSync(path, text)
  return Option.some(path)
}

const urlOf = (url?: string) => AskedRelay.urlOf({ url: Option.fromNullable(url) })
const problem = (options: Partial<ClientOptions>) =>
  Effect.flip(Effect.scoped(Layer.build(AskedRelay.layer({ ...none, ...options }))))

describe("the words that ask the same relay again", () => {
  it("are the options that say which it is, as a shell takes them", () => {
    expect(AskedRelay.wordsOf(none)).toBe("")
    expect(
      AskedRelay.wordsOf({
        url: Option.some("https://relay.example.com:443/a"),
        cacert: Option.some("my ca.pem"),
        cert: Option.some("it's"),
        certKey: Option.some("key.pem")
      })
    ).toBe(" --url https://relay.example.com:443/a --cacert 'my ca.pem' --cert 'it'\\''s' --cert-key key.pem")
    expect(AskedRelay.wordsOf({ ...none, url: Option.some("http://[::1]:3030") })).toBe(
      " --url 'http://[::1]:3030'"
    )
  })
})

describe("the address of the relay", () => {
  it.effect("is that of --url, else of the environment, else this machine's", () =>
    Effect.gen(function* () {
      expect(yield* urlOf()).toBe("http://127.0.0.1:3030")
      process.env[variable] = ""
      expect(yield* urlOf()).toBe("http://127.0.0.1:3030")
      process.env[variable] = "http://10.0.0.1:3030/"
      expect(yield* urlOf()).toBe("http://10.0.0.1:3030")
      expect(yield* urlOf("https://relay.example.com/rudder/relay-api")).toBe(
        "https://relay.example.com/rudder/relay-api"
      )
      expect(yield* urlOf("http://[::1]:3030/?")).toBe("http://[::1]:3030")
    })
  )

  it.effect("is refused by the name of who said it where it is none", () =>
    Effect.gen(function* () {
      for (const url of ["relay.example.com", "ftp://relay", "", "http://relay/?x=1"])
        expect(yield* Effect.flip(urlOf(url))).toMatchObject({
          code: 2,
          message: expect.stringContaining("--url: expected an address such as")
        })
      const secret = yield* Effect.flip(urlOf("https://me:secret@relay"))
      expect(secret.message).toBe(
        "rudder-relay: --url: expected an address without user and password; see --cert"
      )
      process.env[variable] = "relay:3030"
      expect(yield* Effect.flip(urlOf())).toMatchObject({
        code: 2,
        message: expect.stringContaining(variable)
      })
    })
  )
})

describe("certificates", () => {
  const own = certificateNamed("relay", [["UID", "me"]])

  it.effect("are read before anything is asked", () =>
    Effect.scoped(
      Effect.asVoid(
        Layer.build(
          AskedRelay.layer({
            ...none,
            cacert: file("ca.pem", own.cert),
            cert: file("cert.pem", own.cert),
            certKey: file("key.pem", own.key)
          })
        )
      )
    )
  )

  it.effect("that can't be used are an error with the option's name", () =>
    Effect.gen(function* () {
      const cert = file("cert.pem", own.cert)
      const other = file("other.pem", certificateNamed("other", [["UID", "other"]]).key)
      const cases: ReadonlyArray<readonly [Partial<ClientOptions>, RegExp]> = [
        [{ cacert: Option.some(join(folder, "absent")) }, /--cacert: ENOENT/],
        [{ cacert: file("text", "none") }, /--cacert: expected certificates in PEM/],
        [{ cacert: file("empty", "") }, /--cacert: .*empty is empty/],
        [{ cert, certKey: file("empty", "") }, /--cert-key: .*empty is empty/],
        [{ cert }, /--cert and --cert-key/],
        [{ certKey: cert }, /--cert and --cert-key/],
        [{ cert, certKey: other }, /--cert, --cert-key: .*mismatch/]
      ]
      for (const [options, message] of cases) {
        const error = yield* problem(options)
        expect(error.code).toBe(2)
        expect(error.message).toMatch(message)
      }
    })
  )
})

describe("a relay that takes a request and says nothing", () => {
  /** How many requests it took; it answers none. */
  const silent = Effect.acquireRelease(
    Effect.promise(async () => {
      const taken = { requests: 0 }
      const server = Http.createServer(() => {
        taken.requests++
      })
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
      const at = server.address()
      const port = typeof at === "object" && at !== null ? at.port : 0
      return { server, taken, url: `http://127.0.0.1:${port}` }
    }),
    ({ server }) =>
      Effect.sync(() => {
        server.closeAllConnections()
        server.close()
      })
  )

  it.scoped("is given up after a minute, and said to be silent", () =>
    Effect.gen(function* () {
      const { taken, url } = yield* silent
      const asked = yield* RelayClient.pipe(
        Effect.flatMap(({ routes }) => routes.system.nodes({ urlParams: {} })),
        Effect.provide(AskedRelay.layer({ ...none, url: Option.some(url) })),
        Effect.mapError((error) => (error._tag === "StartError" ? error : RelayProblem.of(url)(error))),
        Effect.flip,
        Effect.fork
      )
      yield* eventually(() => taken.requests > 0)
      yield* TestClock.adjust("59 seconds")
      expect(asked.unsafePoll()).toBeNull()
      yield* TestClock.adjust("1 second")
      expect(yield* Fiber.join(asked)).toMatchObject({
        code: 4,
        message: expect.stringContaining(`${url} does not answer (60 s)`)
      })
    })
  )
})
