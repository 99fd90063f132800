/** The recipe for an image names what is there. */
import { spawn } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { createServer as createHttp, type RequestListener } from "node:http"
import { createServer as createHttps } from "node:https"
import type { Server } from "node:net"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { describe, expect, it } from "@effect/vitest"

import { selfSigned } from "../src/testing/SelfSigned.ts"

const top = fileURLToPath(new URL("..", import.meta.url))
const recipe = readFileSync(join(top, "scripts/Containerfile"), "utf8").replaceAll("\\\n", " ")

/** What an instruction copies, without where to. */
const copied = (from: RegExp): ReadonlyArray<string> =>
  [...recipe.matchAll(from)].flatMap(([, words = ""]) => words.trim().split(/\s+/).slice(0, -1))

describe("the recipe for an image", () => {
  it("copies what the sources have", () => {
    const sources = copied(/^COPY (?!--)(.*)$/gm)
    expect(sources.length).toBeGreaterThan(0)
    expect(sources.filter((path) => !existsSync(join(top, path)))).toEqual([])
  })

  it("copies from what was built there what the sources have, or the build makes", () => {
    const paths = copied(/^COPY --from=build (.*)$/gm).map((path) => path.replace(/^\/relay\//, ""))
    expect(paths).toContain("dist")
    expect(paths.filter((path) => path !== "dist" && !existsSync(join(top, path)))).toEqual([])
  })

  it("sets keys that are there, and runs Node as the package wants it", () => {
    const keys = [...recipe.matchAll(/RUDDER_RELAY_([A-Z_]+)=/g)].map(([, key = ""]) =>
      key.toLowerCase().replaceAll("__", ".")
    )
    const page = readFileSync(join(top, "docs/configuration.md"), "utf8")
    expect(keys.length).toBeGreaterThan(0)
    for (const key of keys) expect(page).toContain(key.slice(key.indexOf(".") + 1))
    expect(recipe.match(/^FROM docker\.io\/library\/node:20-/gm)?.length).toBe(2)
  })

  it("copies nothing of the library alone", () => {
    const removed = /rm -rf (.*)/.exec(recipe)?.[1] ?? ""
    for (const file of ["dist/types", "dist/index.js*", "dist/testing.js*", "dist/chunk-*"])
      expect(removed.split(/\s+/)).toContain(file)
  })
})

/** Asks whether a relay that listens there is well. */
const health = (listen: string) =>
  new Promise<number | null>((resolve) => {
    const asked = spawn(process.execPath, [join(top, "scripts/health.mjs")], {
      env: { ...process.env, RUDDER_RELAY_GENERAL__LISTEN: listen },
      stdio: "inherit"
    })
    asked.once("exit", resolve)
  })

const withServer = async <A>(server: Server, use: (port: number) => Promise<A>): Promise<A> => {
  try {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    const address = server.address()
    return await use(typeof address === "object" && address !== null ? address.port : 0)
  } finally {
    server.close()
  }
}

describe("what asks whether the container is healthy", () => {
  const answering =
    (status: number): RequestListener =>
    (_, response) =>
      void response.writeHead(status).end("{}")

  it("is satisfied by an answer over HTTP, a refusal too, at whatever address is set", async () => {
    for (const [status, code] of [
      [200, 0],
      [403, 0],
      [500, 1]
    ] as const)
      await withServer(createHttp(answering(status)), async (port) => {
        expect([status, await health(`0.0.0.0:${port}`)]).toEqual([status, code])
      })
  })

  it("is satisfied by one over HTTPS, whoever's the certificate, and where callers are asked for theirs", async () => {
    const { cert, key } = selfSigned([["CN", "relay"]])
    const options = { cert, key }
    await withServer(createHttps(options, answering(200)), async (port) => {
      expect(await health(`127.0.0.1:${port}`)).toBe(0)
    })
    const requiring = createHttps({ ...options, requestCert: true, rejectUnauthorized: false })
    requiring.on("secureConnection", (socket) => socket.destroy())
    await withServer(requiring, async (port) => {
      expect(await health(`127.0.0.1:${port}`)).toBe(0)
    })
  })

  it("is not satisfied where nobody listens", async () => {
    const port = await withServer(createHttp(), async (port) => port)
    expect(await health(`127.0.0.1:${port}`)).toBe(1)
  })
})
