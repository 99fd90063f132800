/** Files shared with the built program: signed by openssl, sent by curl, looked at on the disk. */

import { execFileSync } from "node:child_process"
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync
} from "node:fs"
import { connect } from "node:net"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { until } from "../support/Until.ts"
import { cleanUp, curl, memory, type Relay, raw, start } from "./support/Program.ts"
import {
  entryOf,
  fileOf,
  hashOf,
  head,
  headerOf,
  isThere,
  newSender,
  removeSenders,
  type Sender,
  type Sharing,
  share,
  sharePath
} from "./support/Senders.ts"

let a: Sender
let b: Sender
let other: Sender

/** A and B below root, C behind the relay R; `other` has no key in the list. */
const tree = () => ({
  root: { hostname: "server", "policy-server": "root" },
  A: entryOf(a),
  B: entryOf(b),
  R: { hostname: "r.example.com", "policy-server": "root" },
  C: { hostname: "c.example.com", "policy-server": "R" },
  keyless: { hostname: "k.example.com", "policy-server": "root" }
})

beforeAll(async () => {
  a = await newSender("A")
  b = await newSender("B")
  other = await newSender("other")
})
afterAll(cleanUp)
afterAll(removeSenders)

const stored = (relay: Relay, ...path: ReadonlyArray<string>) =>
  join(relay.directory, "shared-files", ...path)
const temporary = (relay: Relay) => readdirSync(stored(relay, "~tmp"))
const metadataOf = (path: string): Record<string, string> =>
  Object.fromEntries(
    readFileSync(`${path}.metadata`, "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)])
  )
/** Everything that is stored, but for the temporary files. */
const everything = (relay: Relay): ReadonlyArray<string> =>
  readdirSync(stored(relay), { recursive: true })
    .map(String)
    .filter((name) => !name.startsWith("~tmp") && name !== "~lock")
    .filter((name) => statSync(stored(relay, name)).isFile())
    .sort()

describe("a file", () => {
  let relay: Relay
  beforeAll(async () => {
    relay = await start({ nodes: tree() })
  })
  const sharing = (fileId: string, path: string, more: Partial<Sharing> = {}): Sharing => ({
    from: a,
    target: "B",
    fileId,
    path,
    ...more
  })

  it("is asked for, sent, stored with its metadata, and there", async () => {
    const path = fileOf("for B\n")
    const file = sharing("motd", path)
    expect(await isThere(relay, file)).toBe(404)
    const before = Math.floor(Date.now() / 1000)
    const { status, body } = await share(relay, { ...file, ttl: "1d 2h" })
    const hash = await hashOf(path)
    const answer = JSON.parse(body)
    expect(status).toBe(200)
    expect(answer).toMatchObject({ result: "stored", hash, size: 6 })
    expect(answer.expires).toBeGreaterThanOrEqual(before + 93_600)
    expect(await isThere(relay, file)).toBe(200)
    const place = stored(relay, "B", "files", "A", "motd")
    expect(readFileSync(place, "utf8")).toBe("for B\n")
    expect(metadataOf(place)).toMatchObject({
      header: "rudder-signature-v1",
      algorithm: "sha512",
      digest: (await a.sign(path)).toString("hex"),
      hash_value: hash,
      short_pubkey: Buffer.from(a.publicKey, "base64url").toString("base64"),
      hostname: "a.example.com",
      size: "6",
      expires: String(answer.expires)
    })
    expect(statSync(place).mode & 0o777).toBe(0o640)
    expect(statSync(stored(relay, "B", "files", "A")).mode & 0o777).toBe(0o750)
    expect(temporary(relay)).toEqual([])
  })

  it("is for one target, from one source, under one name, with one hash", async () => {
    const path = fileOf("only there\n")
    expect((await share(relay, sharing("one", path))).status).toBe(200)
    const hash = await hashOf(path)
    expect(await isThere(relay, sharing("one", path, { target: "C" }))).toBe(404)
    expect(await isThere(relay, sharing("two", path))).toBe(404)
    expect(await isThere(relay, sharing("one", fileOf("else\n")))).toBe(404)
    expect(await head(relay, `/shared-files/node/B/one?source-uuid=B&hash=${hash}`)).toBe(404)
    expect(await isThere(relay, sharing("one", path, { algorithm: "sha256" }))).toBe(200)
  })

  it("for a node behind a relay is stored for that relay", async () => {
    const path = fileOf("for C\n")
    expect((await share(relay, sharing("far", path, { target: "C" }))).status).toBe(200)
    expect(readFileSync(stored(relay, "R", "shared-files", "C", "files", "A", "far"), "utf8")).toBe("for C\n")
  })

  it("is sent and asked for as existing agents do it", async () => {
    const content = fileOf("v1\n")
    const body = fileOf(`${await headerOf(a, content, "sha256")}v1\n`)
    const older = "/1/shared-files/B/A/v1"
    const hash = await hashOf(content, "sha256")
    const ask = () => head(relay, `${older}?hash=${hash}`)
    expect(await ask()).toBe(404)
    const { status } = await curl(
      ...["-X", "PUT", "-H", "Content-Type: application/octet-stream", "--data-binary", `@${body}`],
      `${relay.url}${older}?ttl=1day+2hours`
    )
    expect(status).toBe(200)
    expect(await ask()).toBe(200)
    expect(await head(relay, older)).toBe(404)
    expect(await isThere(relay, sharing("v1", content, { algorithm: "sha256" }))).toBe(200)
    expect(metadataOf(stored(relay, "B", "files", "A", "v1"))).toMatchObject({
      keydate: "2018-10-3118:21:43.653257143",
      hash_value: hash
    })
  })

  it("of no bytes at all, or of bytes that are no text, is stored as it is", async () => {
    const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, at) => (at * 7919) % 256))
    for (const [name, content] of [
      ["empty", Buffer.alloc(0)],
      ["bytes", bytes]
    ] as const) {
      expect((await share(relay, sharing(name, fileOf(content)))).status).toBe(200)
      expect(readFileSync(stored(relay, "B", "files", "A", name)).equals(content)).toBe(true)
    }
  })

  it("in chunks, without a length, is stored", async () => {
    const path = fileOf("in chunks\n".repeat(10_000))
    const { status } = await share(relay, sharing("chunks", path), "-H", "Transfer-Encoding: chunked")
    expect(status).toBe(200)
    expect(await isThere(relay, sharing("chunks", path))).toBe(200)
  })

  it("whose ttl has passed is not there any more", async () => {
    const path = fileOf("short\n")
    expect((await share(relay, sharing("short", path, { ttl: "0s" }))).status).toBe(200)
    await until("it has expired", async () => (await isThere(relay, sharing("short", path))) === 404)
  })

  describe("with scope", () => {
    const at = (offset: number) => new Date(Date.now() + offset).toISOString()
    it("is stored with what was signed, and replaced only with scope that is no older", async () => {
      const [first, second] = [fileOf("first\n"), fileOf("second\n")]
      const date = at(-5000)
      const scoped = sharing("scoped", first, { date, ttl: "1w" })
      expect((await share(relay, scoped)).status).toBe(200)
      expect(metadataOf(stored(relay, "B", "files", "A", "scoped"))).toMatchObject({ date, ttl: "1w" })
      const refusals: ReadonlyArray<Partial<Sharing>> = [{}, { date: at(-10_000) }, { date: at(11 * 60_000) }]
      for (const more of refusals) {
        const { status, body } = await share(relay, sharing("scoped", second, more))
        expect([status, JSON.parse(body).reason]).toEqual([403, "stale"])
      }
      expect(await isThere(relay, scoped)).toBe(200)
      expect((await share(relay, sharing("scoped", second, { date: at(0) }))).status).toBe(200)
      expect(await isThere(relay, sharing("scoped", second))).toBe(200)
    })

    it("is not ended by who sends its metadata and content again, and not stored after its time", async () => {
      const content = fileOf("not to be ended\n")
      const file = sharing("kept", content, { date: at(-1000), ttl: "1d" })
      expect((await share(relay, file)).status).toBe(200)
      const place = stored(relay, "B", "files", "A", "kept")
      const { expires } = metadataOf(place)
      const copy = fileOf(`${readFileSync(`${place}.metadata`, "utf8")}\n${readFileSync(place, "utf8")}`)
      const again = await curl("-X", "PUT", "-T", copy, `${relay.url}/shared-files/B/A/kept?ttl=0s`)
      expect(again.status).toBe(200)
      expect(await isThere(relay, file)).toBe(200)
      expect(metadataOf(place).expires).toBe(expires)
      const old = await share(relay, sharing("old", content, { date: "2020-01-05T09:00:00Z", ttl: "1h" }))
      expect([old.status, JSON.parse(old.body).reason]).toEqual([403, "stale"])
    })

    it("is for what was signed, and nothing else", async () => {
      const path = fileOf("mine\n")
      const right = sharing("right", path, { date: at(0), ttl: "1d" })
      const signature = new URLSearchParams((await sharePath(right)).split("?")[1])
      const same = {
        date: signature.get("date") ?? "",
        "request-signature": signature.get("request-signature") ?? ""
      }
      const wrong: ReadonlyArray<Sharing> = [
        sharing("wrong", path, { ttl: "1d", with: same }),
        sharing("right", path, { ttl: "1d", target: "C", with: same }),
        sharing("right", path, { ttl: "2d", with: same }),
        sharing("right", fileOf("not mine\n"), { ttl: "1d", with: same }),
        sharing("right", path, { ttl: "1d", with: { ...same, date: at(1000) } })
      ]
      for (const one of wrong) {
        const { status, body } = await share(relay, one)
        expect([status, JSON.parse(body).reason]).toEqual([403, "signature-mismatch"])
      }
      expect((await share(relay, right)).status).toBe(200)
    })

    it("in the header block may only be kept shorter than was signed", async () => {
      const content = fileOf("scope in a block\n")
      const date = at(0)
      const text = `rudder-relay-2\nB\nA\nblock\n2d\n${date}\nsha512:${await hashOf(content)}\n`
      const lines = { date, ttl: "2d", request_signature: (await a.sign(fileOf(text))).toString("hex") }
      const body = fileOf(`${await headerOf(a, content, "sha512", lines)}scope in a block\n`)
      const put = (ttl: string) =>
        curl("-X", "PUT", "-T", body, `${relay.url}/shared-files/B/A/block?ttl=${ttl}`)
      expect((await put("3d")).status).toBe(400)
      expect((await put("36500d")).status).toBe(400)
      expect((await put("1h")).status).toBe(200)
      expect(metadataOf(stored(relay, "B", "files", "A", "block"))).toMatchObject({ ttl: "2d", date })
    })
  })

  it("that was cut, replaced or touched behind the relay's back is only there when it still is what was signed", async () => {
    const path = fileOf("the right content\n")
    const file = sharing("tampered", path)
    const place = stored(relay, "B", "files", "A", "tampered")
    const again = async () => {
      expect((await share(relay, file)).status).toBe(200)
      expect(await isThere(relay, file)).toBe(200)
    }
    await again()
    truncateSync(place, 5)
    expect(await isThere(relay, file)).toBe(404)
    await again()
    appendFileSync(place, "more")
    expect(await isThere(relay, file)).toBe(404)
    await again()
    writeFileSync(place, "the wrong content\n")
    expect(await isThere(relay, file)).toBe(404)
    expect(await isThere(relay, sharing("tampered", fileOf("the wrong content\n")))).toBe(404)
    await again()
    utimesSync(place, 1, 1)
    expect(await isThere(relay, file)).toBe(200)
  })

  it("is not stored through a link", async () => {
    const outside = join(relay.directory, "outside")
    mkdirSync(outside)
    mkdirSync(stored(relay, "keyless"))
    symlinkSync(outside, stored(relay, "keyless", "files"))
    const file = sharing("link", fileOf("x\n"), { target: "keyless" })
    const { status, body } = await share(relay, file)
    expect([status, JSON.parse(body)._tag]).toEqual([500, "StorageError"])
    expect(body).not.toContain(relay.directory)
    expect(readdirSync(outside)).toEqual([])
    expect(await isThere(relay, file)).toBe(500)
    await expect.poll(() => relay.log()).toMatch(/\S+\/keyless\/files is in the way: a link/)
    expect(temporary(relay)).toEqual([])
  })

  it.each<readonly [string, number, string, string | undefined, () => Partial<Sharing>]>([
    ["unknown source", 403, "BadSignature", "unknown-source", () => ({ from: other })],
    [
      "a source without a key",
      403,
      "BadSignature",
      "unknown-source",
      () => ({ from: { ...a, id: "keyless" } })
    ],
    ["another node's key", 403, "BadSignature", "key-mismatch", () => ({ from: { ...other, id: "A" } })],
    [
      "no key, and no certificate",
      400,
      "InvalidRequest",
      undefined,
      () => ({ with: { "public-key": null } })
    ],
    [
      "the signature of another content",
      403,
      "BadSignature",
      "signature-mismatch",
      () => ({ with: { signature: Buffer.alloc(256, 7).toString("hex") } })
    ],
    [
      "the signature of another key",
      403,
      "BadSignature",
      "signature-mismatch",
      () => ({ from: { ...a, sign: other.sign } })
    ],
    ["another hash", 403, "BadSignature", "hash-mismatch", () => ({ with: { hash: "0".repeat(128) } })],
    ["a hash of another kind", 400, "InvalidRequest", undefined, () => ({ with: { hash: "0".repeat(64) } })],
    ["an unknown algorithm", 400, "InvalidRequest", undefined, () => ({ with: { algorithm: "md5" } })],
    [
      "another algorithm than was signed",
      403,
      "BadSignature",
      "signature-mismatch",
      () => ({ with: { algorithm: "sha256" } })
    ],
    ["no signature", 400, "InvalidRequest", undefined, () => ({ with: { signature: null } })],
    ["no source", 400, "InvalidRequest", undefined, () => ({ with: { "source-uuid": null } })],
    ["a ttl that is none", 400, "InvalidRequest", undefined, () => ({ ttl: "1d 1" })],
    [
      "a date without a signature",
      400,
      "InvalidRequest",
      undefined,
      () => ({ with: { date: "2026-01-05T09:00:00Z" } })
    ],
    ["an unknown target", 404, "UnknownTarget", undefined, () => ({ target: "nobody" })]
  ])("with %s is refused, and not kept", async (_, expected, tag, reason, more) => {
    const file = sharing("refused", fileOf("refused\n"), more())
    const { status, body } = await share(relay, file)
    const error = JSON.parse(body)
    expect([status, error._tag, error.reason]).toEqual([expected, tag, reason])
    expect(existsSync(stored(relay, "B", "files", "A", "refused"))).toBe(false)
    expect(temporary(relay)).toEqual([])
  })

  it.each<readonly [string, number, Record<string, string | null>]>([
    ["no header", 400, { header: null }],
    ["another header", 400, { header: "rudder-signature-v2" }],
    ["no algorithm", 400, { algorithm: null }],
    ["no digest", 400, { digest: null }],
    ["no hash", 400, { hash_value: null }],
    ["no key", 400, { short_pubkey: null }],
    ["a key that is none", 400, { short_pubkey: "AAAA" }],
    ["another hash", 403, { hash_value: "0".repeat(128) }],
    ["another digest", 403, { digest: "0".repeat(512) }],
    ["a request_signature without a date", 400, { request_signature: "00".repeat(256) }]
  ])("in the older form with %s is refused", async (_, expected, lines) => {
    const content = fileOf("older\n")
    const body = fileOf(`${await headerOf(a, content, "sha512", lines)}older\n`)
    const { status } = await curl("-X", "PUT", "-T", body, `${relay.url}/shared-files/B/A/older?ttl=1d`)
    expect(status).toBe(expected)
    expect(existsSync(stored(relay, "B", "files", "A", "older"))).toBe(false)
    expect(temporary(relay)).toEqual([])
  })

  it("needs but five keys in the older form, and what its header claims besides is not believed", async () => {
    const content = fileOf("claims\n")
    const none = { hostname: null, keydate: null, keyid: null }
    const block = `expires=1\nexotic=value\n${await headerOf(a, content, "sha512", none)}`
    const body = fileOf(`${block}claims\n`)
    expect((await curl("-X", "PUT", "-T", body, `${relay.url}/shared-files/B/A/claims?ttl=1d`)).status).toBe(
      200
    )
    const found = metadataOf(stored(relay, "B", "files", "A", "claims"))
    expect(Number(found.expires)).toBeGreaterThan(Date.now() / 1000)
    expect(Object.keys(found)).toEqual(
      "header algorithm digest hash_value short_pubkey hostname keydate keyid date size expires".split(" ")
    )
  })
})

describe("a source's key", () => {
  it("is found in the certificates file, which is read again when it changes", async () => {
    const relay = await start({
      nodes: { ...tree(), other: { hostname: "o.example.com", "policy-server": "root" } },
      config: { general: { nodes_certs_file: "/nonexistent/certs.pem" } }
    })
    await relay.stop()
    const certs = join(relay.directory, "certs.pem")
    const again = await start({
      directory: relay.directory,
      nodes: { ...tree(), other: { hostname: "o.example.com", "policy-server": "root" } },
      config: { general: { nodes_certs_file: certs } }
    })
    const file = (more: Partial<Sharing> = {}): Sharing => ({
      from: other,
      target: "B",
      fileId: "certified",
      path: fileOf("by certificate\n"),
      ...more
    })
    expect((await share(again, file())).status).toBe(403)
    expect((await share(again, file({ with: { "public-key": null } }))).status).toBe(400)
    execFileSync("openssl", [
      ...["req", "-x509", "-new", "-key", other.keyFile, "-days", "1", "-subj", "/UID=other"],
      ...["-out", `${certs}.new`]
    ])
    writeFileSync(certs, readFileSync(`${certs}.new`))
    await until(
      "the certificate is known",
      async () => (await share(again, file({ with: { "public-key": null } }))).status === 200
    )
    expect((await share(again, file())).status).toBe(200)
    expect((await share(again, file({ from: { ...a, id: "other" } }))).status).toBe(403)
  })
})

describe("bounds", () => {
  const target = { target: "B", fileId: "bound" }
  const config = (shared_files: Record<string, string | number>, limits: Record<string, string> = {}) => ({
    nodes: tree(),
    config: { shared_files, limits }
  })

  /** A body of which only the beginning comes. */
  /** More is sent than what is kept in memory until it is known what becomes of it: it has a file. */
  const half = async (relay: Relay, sharing: Sharing, sent = 2_000_000) => {
    const socket = connect(relay.port, "127.0.0.1")
    const path = `/rudder/relay-api${await sharePath(sharing)}`
    socket.write(`POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000\r\n\r\n`)
    socket.write("x".repeat(sent))
    return socket
  }

  it("max_body_size: 413 before the body where its length is announced, else when it is passed", async () => {
    const relay = await start(config({ max_body_size: "64KiB" }))
    const path = fileOf("x".repeat(65_537))
    const file = { from: a, ...target, path }
    const announced = await raw(
      relay,
      `POST /rudder/relay-api${await sharePath(file)} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 65537\r\n\r\n`
    )
    expect(announced).toMatch(/^HTTP\/1\.1 413 /)
    expect((await share(relay, file, "-H", "Transfer-Encoding: chunked")).status).toBe(413)
    expect((await share(relay, { ...file, path: fileOf("x".repeat(65_536)) })).status).toBe(200)
    // The limit is on the whole body: the header block counts.
    const header = await headerOf(a, fileOf("x".repeat(1000)))
    const older = `${header}${"x".repeat(1000)}`
    const exact = await start(config({ max_body_size: older.length }))
    const put = (...more: ReadonlyArray<string>) =>
      curl("-X", "PUT", "-T", fileOf(older), ...more, `${exact.url}/shared-files/B/A/older`)
    expect((await put()).status).toBe(200)
    expect((await put("-H", "Transfer-Encoding: chunked")).status).toBe(200)
    const longer = await raw(
      exact,
      `PUT /rudder/relay-api/shared-files/B/A/older HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${older.length + 1}\r\n\r\n`
    )
    expect(longer).toMatch(/^HTTP\/1\.1 413 /)
    const chunked = fileOf(`${header}${"x".repeat(1001)}`)
    expect(
      (
        await curl(
          ...["-X", "PUT", "-T", chunked, "-H", "Transfer-Encoding: chunked"],
          `${exact.url}/shared-files/B/A/older`
        )
      ).status
    ).toBe(413)
    expect(temporary(relay)).toEqual([])
  })

  it("min_free: 507, and the old file stays", async () => {
    const relay = await start(config({}))
    const file = { from: a, ...target, path: fileOf("old\n") }
    expect((await share(relay, file)).status).toBe(200)
    await relay.stop()
    const full = await start({ directory: relay.directory, ...config({ min_free: "900000GiB" }) })
    const { status, body } = await share(full, { ...file, path: fileOf("new\n") })
    expect([status, JSON.parse(body)._tag]).toEqual([507, "StorageFull"])
    expect(await isThere(full, file)).toBe(200)
    expect(temporary(full)).toEqual([])
  })

  it.each([
    ["max_uploads", { max_uploads: 2 }],
    ["max_uploads_per_address", { max_uploads_per_address: 2 }]
  ])("%s: 503 with Retry-After, until one has ended", async (_, shared) => {
    const relay = await start(config(shared))
    const path = fileOf("x")
    const sockets = [
      await half(relay, { from: a, target: "B", fileId: "one", path }),
      await half(relay, { from: a, target: "B", fileId: "two", path })
    ]
    await until("two are under way", () => temporary(relay).length === 2)
    const refused = await share(relay, { from: a, target: "B", fileId: "three", path }, "-i")
    expect(refused.status).toBe(503)
    expect(refused.body).toMatch(/^retry-after: \d+\r$/im)
    const elsewhere = ["-H", "X-Forwarded-For: 192.0.2.7"]
    // A source has no more places by having more addresses.
    expect((await share(relay, { from: a, target: "B", fileId: "four", path }, ...elsewhere)).status).toBe(
      503
    )
    // Others are bounded by the one only.
    const another = await share(relay, { from: b, target: "B", fileId: "four", path }, ...elsewhere)
    expect(another.status).toBe("max_uploads" in shared ? 503 : 200)
    sockets[0]?.destroy()
    await until(
      "there is room again",
      async () => (await share(relay, { from: a, target: "B", fileId: "three", path })).status === 200
    )
    sockets[1]?.destroy()
    await until("nothing is left behind", () => temporary(relay).length === 0)
  })

  it("body_idle_timeout: a body that stops coming is given up", async () => {
    const relay = await start(config({}, { body_idle_timeout: "1s" }))
    const socket = await half(relay, { from: a, ...target, path: fileOf("x") })
    let answer = ""
    socket.on("data", (bytes) => {
      answer += bytes
    })
    await new Promise((resolve) => socket.once("close", resolve))
    expect(answer).toMatch(/^HTTP\/1\.1 408 [\s\S]*body_idle_timeout/)
    expect(temporary(relay)).toEqual([])
  })

  it("min_rate: uploads with a false signature that drip give their places back, with 408", async () => {
    const relay = await start(config({ max_uploads: 2 }, { body_idle_timeout: "2s" }))
    const dripping = await Promise.all(
      ["one", "two"].map(async (fileId) => {
        const path = await sharePath({ from: a, target: "B", fileId, path: fileOf("x") })
        const socket = connect(relay.port, "127.0.0.1")
        socket.write(`POST /rudder/relay-api${path} HTTP/1.1\r\nHost: localhost\r\n`)
        socket.write("Content-Length: 1000000\r\n\r\n")
        const trickle = setInterval(() => socket.write("x"), 100)
        let answer = ""
        socket.on("error", () => {})
        socket.on("data", (bytes) => {
          answer += bytes
        })
        const closed = new Promise<string>((resolve) => socket.once("close", () => resolve(answer)))
        return closed.finally(() => clearInterval(trickle))
      })
    )
    for (const answer of dripping) expect(answer).toMatch(/^HTTP\/1\.1 408 [\s\S]*min_rate/)
    expect((await share(relay, { from: a, ...target, path: fileOf("x") })).status).toBe(200)
    expect(temporary(relay)).toEqual([])
  })

  it("headers_timeout: a header block that comes a byte at a time is given up, and gives its place back", async () => {
    const relay = await start(config({ max_uploads: 1 }, { headers_timeout: "1s" }))
    const socket = connect(relay.port, "127.0.0.1")
    socket.write("PUT /rudder/relay-api/shared-files/B/A/slow HTTP/1.1\r\nHost: localhost\r\n")
    socket.write("Content-Length: 100000\r\n\r\nheader=")
    const trickle = setInterval(() => socket.write("x"), 50)
    let answer = ""
    socket.on("error", () => {})
    socket.on("data", (bytes) => {
      answer += bytes
    })
    await new Promise((resolve) => socket.once("close", resolve))
    clearInterval(trickle)
    expect(answer).toMatch(/^HTTP\/1\.1 408 [\s\S]*headers_timeout/)
    expect((await share(relay, { from: a, ...target, path: fileOf("x") })).status).toBe(200)
  })

  it("a file behind a refusal that closes the connection is not taken", async () => {
    const relay = await start(config({}))
    const path = fileOf("x")
    const put = async (from: Sender, fileId: string, more = "") => {
      const body = `${await headerOf(from, path)}x${more}`
      const head = `PUT /rudder/relay-api/shared-files/B/A/${fileId} HTTP/1.1\r\nHost: localhost\r\n`
      return `${head}Content-Length: ${body.length}\r\n\r\n${body}`
    }
    // Its body is not whole when it is refused: one that is here is forgotten, and the connection goes on.
    const refused = await put(other, "refused", "x".repeat(4 << 20))
    const answer = await raw(relay, `${refused}${await put(a, "behind")}`)
    expect(answer.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 403"])
    // It would have been there before one that came after it.
    expect((await share(relay, { from: a, target: "B", fileId: "later", path })).status).toBe(200)
    expect(everything(relay)).toEqual(["B/files/A/later", "B/files/A/later.metadata"])
  })

  it("a client that leaves midway leaves nothing, and the old file as it was", async () => {
    const relay = await start(config({}))
    const file = { from: a, ...target, path: fileOf("old\n") }
    expect((await share(relay, file)).status).toBe(200)
    const socket = await half(relay, file)
    await until("it is under way", () => temporary(relay).length > 0)
    socket.destroy()
    await until("nothing is left", () => temporary(relay).length === 0)
    expect(await isThere(relay, file)).toBe(200)
  })

  it("a body shorter than announced is not stored, and of one that is longer at most what was announced", async () => {
    const relay = await start(config({}))
    const file = { from: a, ...target, path: fileOf("12345") }
    const path = `/rudder/relay-api${await sharePath(file)}`
    const post = (length: number) =>
      `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${length}\r\n\r\n`
    const short = connect(relay.port, "127.0.0.1")
    short.end(`${post(10)}12345`)
    await new Promise((resolve) => short.resume().once("close", resolve))
    expect(await isThere(relay, file)).toBe(404)
    expect(temporary(relay)).toEqual([])
    // The rest is no request: node may refuse it before the file is there. Then nothing is left of it, either.
    const long = await raw(relay, `${post(5)}12345 and more\r\n\r\n`)
    expect(long).toMatch(/^HTTP\/1\.1 (?:200|400) /)
    await until("nothing is left behind", () => temporary(relay).length === 0)
    const there = await isThere(relay, file)
    expect(long.includes(" 200 ") ? [200] : [200, 404]).toContain(there)
  })

  it("Expect: 100-continue is answered after what needs no body was checked", async () => {
    const relay = await start(config({}))
    const path = fileOf("continue\n")
    const ask = async (sharing: Sharing) =>
      raw(
        relay,
        `POST /rudder/relay-api${await sharePath(sharing)} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n` +
          "Expect: 100-continue\r\nContent-Length: 9\r\n\r\n",
        ...("from" in sharing && sharing.target === "B" && sharing.from === a ? ["continue\n"] : [])
      )
    expect(await ask({ from: a, ...target, path })).toMatch(/^HTTP\/1\.1 100 [\s\S]*HTTP\/1\.1 200 /)
    expect(await ask({ from: a, target: "nobody", fileId: "x", path })).toMatch(/^HTTP\/1\.1 404 /)
    expect(await ask({ from: { ...other, id: "A" }, ...target, path })).toMatch(/^HTTP\/1\.1 403 /)
    expect(await ask({ from: a, target: "B", fileId: ".metadata", path })).toMatch(/^HTTP\/1\.1 400 /)
  })

  it("a refusal that needs no body does not wait for it, and the connection is closed", async () => {
    const relay = await start(config({}))
    const socket = await half(relay, { from: a, target: "nobody", fileId: "x", path: fileOf("x") }, 10_000)
    let answer = ""
    socket.on("data", (bytes) => {
      answer += bytes
    })
    await new Promise((resolve) => socket.once("close", resolve))
    expect(answer).toMatch(/^HTTP\/1\.1 404 /)
    expect(answer).toMatch(/connection: close/i)
  })

  it("a nodes list that was never there: root answers 503 instead of 404", async () => {
    const relay = await start({
      ...config({}),
      config: { general: { nodes_list_file: "/nonexistent/list.json" } }
    })
    const { status, body } = await share(relay, { from: a, ...target, path: fileOf("x") })
    expect([status, JSON.parse(body)._tag]).toEqual([503, "TooBusy"])
  })
})

describe("at once", () => {
  it("twenty clients upload to the same file id: content and metadata are one of the twenty, whole", async () => {
    const relay = await start({ nodes: tree(), config: { shared_files: { max_uploads_per_address: 64 } } })
    const files = Array.from({ length: 20 }, (_, at) => fileOf(`${at}\n`.repeat(100_000 + at * 1000)))
    const sharings = files.map((path): Sharing => ({ from: a, target: "B", fileId: "same", path }))
    for (let round = 0; round < 3; round++) {
      const answers = await Promise.all(sharings.map((sharing) => share(relay, sharing)))
      expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200))
      const place = stored(relay, "B", "files", "A", "same")
      const content = readFileSync(place)
      const winner = files.filter((path) => readFileSync(path).equals(content))
      expect(winner.length).toBe(1)
      expect(metadataOf(place).hash_value).toBe(await hashOf(winner[0] ?? ""))
      expect(metadataOf(place).size).toBe(String(content.length))
      const there = await Promise.all(sharings.map((sharing) => isThere(relay, sharing)))
      expect(there.filter((status) => status === 200).length).toBe(1)
      expect(temporary(relay)).toEqual([])
    }
  })

  it("of two uploads of one file, the one whose request began later wins, also when it ends first", async () => {
    const relay = await start({ nodes: tree() })
    const content = `${"early\n".repeat(400_000)}and whole\n`
    const [early, late] = [fileOf(content), fileOf("late\n")]
    const first = { from: a, target: "B", fileId: "order", path: early }
    const socket = connect(relay.port, "127.0.0.1")
    const path = `/rudder/relay-api${await sharePath(first)}`
    socket.write(
      `POST ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: ${content.length}\r\n\r\n`
    )
    socket.write(content.slice(0, -7))
    await until("the first is under way", () => temporary(relay).length === 1)
    expect((await share(relay, { ...first, path: late })).status).toBe(200)
    const answered = new Promise<string>((resolve) => socket.once("data", (bytes) => resolve(String(bytes))))
    socket.write(content.slice(-7))
    expect(await answered).toMatch(/^HTTP\/1\.1 200 /)
    expect(readFileSync(stored(relay, "B", "files", "A", "order"), "utf8")).toBe("late\n")
    expect(await isThere(relay, { ...first, path: late })).toBe(200)
    socket.destroy()
  })

  it("kill -9 in the middle of many uploads: what was acknowledged is there, and nothing temporary is left", async () => {
    const options = { nodes: tree(), config: { shared_files: { max_uploads_per_address: 64 } } }
    const path = fileOf("survives\n".repeat(20_000))
    const acknowledged: Array<string> = []
    let relay = await start(options)
    const { directory } = relay
    for (let round = 0; round < 4; round++) {
      const current = relay
      let count = 0
      const upload = async (worker: number) => {
        for (let at = 0; at < 50; at++) {
          const fileId = `f-${round}-${worker}-${at}`
          const { status } = await share(current, { from: a, target: "B", fileId, path })
          if (status !== 200) return
          acknowledged.push(fileId)
          count++
        }
      }
      const workers = Promise.all([0, 1, 2, 3].map(upload))
      await until("some are acknowledged", () => count >= 5 + round)
      current.kill("SIGKILL")
      await workers
      relay = await start({ directory, ...options })
      expect(temporary(relay)).toEqual([])
    }
    for (const fileId of acknowledged)
      expect([fileId, await isThere(relay, { from: a, target: "B", fileId, path })]).toEqual([fileId, 200])
    // What was not acknowledged is there whole, or not at all.
    for (const name of everything(relay).filter((file) => !file.endsWith(".metadata"))) {
      expect(readFileSync(stored(relay, name)).equals(readFileSync(path))).toBe(true)
      expect(existsSync(`${stored(relay, name)}.metadata`)).toBe(true)
    }
    expect(everything(relay).length % 2).toBe(0)
  })
})

describe("a file of 1 GiB", () => {
  it("costs no memory, however long it takes: that is for the bench to say", async () => {
    const relay = await start({ nodes: tree() })
    const path = fileOf("")
    execFileSync("sh", ["-c", 'head -c 1073741824 /dev/urandom > "$1"', "sh", path])
    const timed = async (work: () => unknown) => {
      const began = performance.now()
      await work()
      return (performance.now() - began) / 1000
    }
    const byHand = () =>
      execFileSync("sh", [
        "-c",
        // The old copy stays until the new one is there, as it does with an upload.
        'openssl sha512 "$1" > /dev/null; cp "$1" "$1.new"; sync "$1.new"; mv "$1.new" "$1.copy"',
        "sh",
        path
      ])
    const sharing = { from: a, target: "B", fileId: "large", path }
    const url = `${relay.url}${await sharePath(sharing)}`
    const upload = async () => expect((await curl("-X", "POST", "-T", path, url)).status).toBe(200)
    // A first small one, so that what grows is not the program warming up.
    expect((await share(relay, { ...sharing, fileId: "small", path: fileOf("small") })).status).toBe(200)
    const before = memory(relay.pid).now
    // Once more than counts: the file itself may be on its way to the disk, and memory is slow where it was never used.
    byHand()
    await upload()
    const rounds: Array<{ readonly hand: number; readonly relay: number }> = []
    for (let round = 0; round < 3; round++)
      rounds.push({ hand: await timed(byHand), relay: await timed(upload) })
    const grown = (memory(relay.pid).highest - before) / 1024 / 1024
    const ratio = rounds.map((round) => round.relay / round.hand).sort((one, two) => one - two)[1]
    console.log(
      `1 GiB: ${rounds.map((round) => `${round.relay.toFixed(2)} s (by hand ${round.hand.toFixed(2)} s)`).join(", ")}; ` +
        `median ratio ${ratio?.toFixed(2)}; resident memory grew by ${grown.toFixed(0)} MiB`
    )
    expect(grown).toBeLessThan(80)
    expect(await isThere(relay, sharing)).toBe(200)
  })
})
