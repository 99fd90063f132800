/** Ids, paths, links and headers that nobody means well with: each gets its 4xx, and nothing is stored. */
import { mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { cleanUp, type Relay, raw, start } from "./support/Program.ts"
import {
  entryOf,
  fileOf,
  headerOf,
  newSender,
  removeSenders,
  type Sender,
  sharePath
} from "./support/Senders.ts"

const content = "hostile\n"
let a: Sender
let relay: Relay
let file: string
/** The query of a request that is right in everything else. */
let query: string
let header: string

beforeAll(async () => {
  a = await newSender("A")
  file = fileOf(content)
  relay = await start({
    nodes: {
      root: { hostname: "server", "policy-server": "root" },
      A: entryOf(a),
      B: { hostname: "b", "policy-server": "root" },
      R: { hostname: "r", "policy-server": "root" },
      C: { hostname: "c", "policy-server": "R" },
      files: { hostname: "f", "policy-server": "root" },
      lost: { hostname: "l", "policy-server": "nowhere" }
    },
    config: { shared_files: { layout: "tree" }, limits: { body_idle_timeout: "2s" } }
  })
  query = (await sharePath({ from: a, target: "B", fileId: "x", path: file })).split("?")[1] ?? ""
  header = await headerOf(a, file)
})
afterAll(cleanUp)
afterAll(removeSenders)

/** Every path below the relay's folder, with what a file holds by its size and time. */
const snapshot = (): ReadonlyArray<string> =>
  readdirSync(relay.directory, { recursive: true })
    .map(String)
    .map((name) => {
      const { size, mtimeMs } = statSync(join(relay.directory, name))
      return name.startsWith("shared-files") && !name.endsWith("~tmp") ? `${name} ${size} ${mtimeMs}` : name
    })
    .sort()

const statusOf = (answer: string): number => Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 0)

const base = "/rudder/relay-api"
const request = (method: string, path: string, body: string | Buffer, ...headers: ReadonlyArray<string>) =>
  raw(
    relay,
    Buffer.concat([
      Buffer.from(
        [
          `${method} ${path} HTTP/1.1`,
          "Host: localhost",
          "Connection: close",
          ...(headers.some((line) => /^(content-length|transfer-encoding):/i.test(line))
            ? []
            : [`Content-Length: ${Buffer.byteLength(body)}`]),
          ...headers,
          "",
          ""
        ].join("\r\n"),
        "latin1"
      ),
      Buffer.from(body)
    ])
  )

const is4xx = (status: number) => status >= 400 && status < 500

/** Sends it, and looks that nothing came of it. */
const refused = async (
  method: string,
  path: string,
  body: string | Buffer,
  ...headers: ReadonlyArray<string>
) => {
  const before = snapshot()
  const answer = await request(method, path, body, ...headers)
  expect([path.slice(0, 120), statusOf(answer), is4xx(statusOf(answer))]).toEqual([
    path.slice(0, 120),
    statusOf(answer),
    true
  ])
  expect(snapshot()).toEqual(before)
}

/** As they stand in a path: encoded, or as they are. */
const hostileIds: ReadonlyArray<string> = [
  ".",
  "..",
  "...%2F",
  "%2e",
  "%2e%2e",
  "%2E%2E",
  ".%2e",
  "%2e%2e%2f",
  "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
  "..%2f..%2fetc%2fpasswd",
  "..%5c..%5cetc",
  "..%252f..%252fetc",
  "%252e%252e",
  "%c0%ae%c0%ae",
  "%c0%ae%c0%ae%c0%af",
  "%e0%80%ae",
  "%uff0e%uff0e",
  "%ef%bc%8e%ef%bc%8e",
  "a%2fb",
  "%2fetc%2fpasswd",
  "a%5cb",
  "C%3a%5c",
  "a%00",
  "%00",
  "a%00.txt",
  "a%0a",
  "a%0d%0aX-Injected:%20yes",
  "%0d%0a%0d%0a",
  "a%20b",
  "%20",
  "a%09",
  "~tmp",
  "%7Etmp",
  "~root",
  "$HOME",
  "$(id)",
  "%24(id)",
  "`id`",
  "%60id%60",
  "a;id",
  "a%7cid",
  "a%26b",
  "a'b",
  "%22",
  "*",
  "%3f",
  "[a]",
  "{a,b}",
  "%3Cscript%3E",
  "@",
  "a+b",
  "a:b",
  "a,b",
  "a=b",
  "%F0%9F%92%A9",
  "%C3%A4",
  "%E2%80%8B",
  "%E2%80%AE",
  "%ff",
  "%",
  "%2",
  "%zz",
  "%2g",
  "a".repeat(201),
  "a".repeat(300),
  "a".repeat(5000),
  "-o%20ProxyCommand"
]

/** More that no file may be called. */
const hostileFileIds: ReadonlyArray<string> = [
  ".metadata",
  "motd.metadata",
  "motd.METADATA",
  "motd.Metadata",
  "motd.metadata.metadata",
  // In this layout a file beside the folder of a node.
  "A",
  "B",
  "C",
  "R",
  "root"
]

describe("a hostile id", () => {
  it.each(hostileIds)("as target %s", async (id) => {
    await refused("POST", `${base}/shared-files/node/${id}/motd?${query}`, content)
    await refused("PUT", `${base}/shared-files/${id}/A/motd?ttl=1d`, header + content)
    await refused("HEAD", `${base}/shared-files/node/${id}/motd?source-uuid=A&hash=${"0".repeat(64)}`, "")
    await refused("HEAD", `${base}/1/shared-files/${id}/A/motd?hash=${"0".repeat(64)}`, "")
  })
  it.each(hostileIds)("as source %s", async (id) => {
    const other = query.replace("source-uuid=A", `source-uuid=${id}`)
    await refused("POST", `${base}/shared-files/node/B/motd?${other}`, content)
    await refused("PUT", `${base}/shared-files/B/${id}/motd?ttl=1d`, header + content)
    await refused("HEAD", `${base}/shared-files/node/B/motd?source-uuid=${id}&hash=${"0".repeat(64)}`, "")
    await refused("HEAD", `${base}/1/shared-files/B/${id}/motd?hash=${"0".repeat(64)}`, "")
  })
  it.each([...hostileIds, ...hostileFileIds])("as file id %s", async (id) => {
    await refused("POST", `${base}/shared-files/node/B/${id}?${query}`, content)
    await refused("PUT", `${base}/shared-files/B/A/${id}?ttl=1d`, header + content)
    await refused("HEAD", `${base}/shared-files/node/B/${id}?source-uuid=A&hash=${"0".repeat(64)}`, "")
    await refused("HEAD", `${base}/1/shared-files/B/A/${id}?hash=${"0".repeat(64)}`, "")
  })
})

describe("a hostile path", () => {
  it.each([
    "/shared-files/node/B",
    "/shared-files/node/B/",
    "/shared-files/node/B/motd/",
    "/shared-files/node//B/motd",
    "/shared-files//node/B/motd",
    "//shared-files/node/B/motd",
    "/shared-files/node/B/motd/more",
    "/shared-files/node/B/../B/motd",
    "/shared-files/node/./B/motd",
    "/shared-files/node/B/motd%3Fx",
    "/shared-files/node/B/motd;x=y",
    "/shared-files/NODE/B/motd",
    "/Shared-Files/node/B/motd",
    "/shared-files/node/B/motd%00",
    "/shared-files/%6eode/B/A/motd",
    "/shared-files\\node\\B\\motd",
    "/../shared-files/node/B/..",
    "/1/1/shared-files/node/B/motd",
    "/2/shared-files/node/B/motd",
    "/shared-files/node/lost/motd",
    "/shared-files/node/nobody/motd",
    "/shared-files/node/b/motd"
  ])("%s", async (path) => {
    await refused("POST", `${base}${path}?${query}`, content)
  })

  it.each(["/shared-files/node/A/motd", "/shared-files/node/node/x", "/shared-files/B/A", "/shared-files/B"])(
    "%s of the older form",
    async (path) => {
      await refused("PUT", `${base}${path}?ttl=1d`, header + content)
    }
  )

  it.each(["http://other.example.com", "//other.example.com", "file://"])(
    "of another origin: %s",
    async (origin) => {
      const before = snapshot()
      const answer = await request("POST", `${origin}${base}/shared-files/node/B/..%2fmotd?${query}`, content)
      expect(is4xx(statusOf(answer))).toBe(true)
      expect(snapshot()).toEqual(before)
    }
  )

  it.each(["DELETE", "PATCH", "GET", "OPTIONS", "TRACE", "PROPFIND", "MKCOL", "COPY", "MOVE"])(
    "by the method %s",
    async (method) => {
      await refused(method, `${base}/shared-files/node/B/motd?${query}`, content)
      await refused(method, `${base}/shared-files/B/A/motd?ttl=1d`, header + content)
    }
  )
})

describe("hostile parameters", () => {
  const replaced = (name: string, value: string) =>
    query
      .split("&")
      .map((part) => (part.startsWith(`${name}=`) ? `${name}=${value}` : part))
      .join("&")
  const post = (search: string) => refused("POST", `${base}/shared-files/node/B/motd?${search}`, content)

  it.each([
    ["signature", ""],
    ["signature", "00"],
    ["signature", "%00"],
    ["signature", "zz".repeat(256)],
    ["signature", "00".repeat(256)],
    ["signature", "ff".repeat(256)],
    ["signature", "A".repeat(8000)],
    ["signature", "%F0%9F%92%A9"],
    ["public-key", "AAAA"],
    ["public-key", "-----BEGIN%20RSA%20PUBLIC%20KEY-----"],
    ["public-key", "%2Fetc%2Fpasswd"],
    ["public-key", "MA0GCSqGSIb3DQEBAQUAA0sAMEgCQQ"],
    ["algorithm", "sha1"],
    ["algorithm", "none"],
    ["algorithm", "SHA512"],
    ["algorithm", "__proto__"],
    ["source-uuid", "__proto__"],
    ["source-uuid", "constructor"],
    ["source-uuid", "toString"],
    ["source-uuid", "lost"],
    ["source-uuid", "nobody"]
  ])("%s=%s", async (name, value) => {
    await post(replaced(name, value))
  })

  it.each([
    "ttl=-1",
    "ttl=1e9",
    "ttl=1d;rm",
    "ttl=%00",
    "ttl=1d%0aexpires=99999999999",
    `ttl=${"9".repeat(30)}`,
    `ttl=${"9".repeat(30)}d`,
    "ttl=NaN",
    "ttl=Infinity",
    "hash=",
    "hash=zz",
    `hash=${"0".repeat(127)}`,
    `hash=${"0".repeat(128)}`,
    `hash=${"0".repeat(64)}`,
    "date=2026-01-05T09:00:00Z",
    "request-signature=00",
    `date=2026-13-05T09:00:00Z&request-signature=${"00".repeat(256)}`,
    `date=2026-01-05&request-signature=${"00".repeat(256)}`,
    `date=2026-01-05T09:00:00Z%0a&request-signature=${"00".repeat(256)}`,
    `date=2026-01-05T09:00:00Z&request-signature=${"00".repeat(256)}`,
    "signature=00",
    "source-uuid=B",
    "algorithm=sha512",
    "ttl=1d&ttl=2d"
  ])("and %s", async (more) => {
    // An empty hash is none.
    if (more === "hash=") return
    await post(`${query}&${more}`)
  })

  it("none at all", async () => {
    await refused("POST", `${base}/shared-files/node/B/motd`, content)
  })
})

describe("a hostile header block", () => {
  const put = (block: string | Buffer) => {
    const body = Buffer.concat([Buffer.from(block), Buffer.from(content)])
    return refused("PUT", `${base}/shared-files/B/A/motd?ttl=1d`, body)
  }
  it("that does not end", () => put(header.trimEnd()))
  it("of more than 64 KiB", () => put(`filler=${"x".repeat(65_536)}\n${header}`))
  it("with a key twice", () => put(`algorithm=sha512\n${header}`))
  it("with a digest twice", () => put(header.replace("\n\n", "\ndigest=00\n\n")))
  it("that is no UTF-8", () =>
    put(Buffer.concat([Buffer.from([0x61, 0x3d, 0xff, 0x0a]), Buffer.from(header)])))
  it("of nothing", () => put("\n"))
  it("without a body", () => refused("PUT", `${base}/shared-files/B/A/motd?ttl=1d`, ""))
  it("of NULs", () => put(Buffer.alloc(70_000)))
  it("of newlines", () => put("\n".repeat(10)))
  it("with another node's request_signature", () =>
    put(header.replace("\n\n", `\ndate=2026-01-05T09:00:00Z\nrequest_signature=${"00".repeat(256)}\n\n`)))
})

describe("hostile headers", () => {
  const path = () => `${base}/shared-files/node/B/motd?${query}`
  it.each([
    ["two lengths", ["Content-Length: 8", "Content-Length: 9"]],
    ["a negative length", ["Content-Length: -1"]],
    ["a length that is none", ["Content-Length: eight"]],
    ["a length and chunks", ["Content-Length: 8", "Transfer-Encoding: chunked"]],
    ["an unknown encoding", ["Transfer-Encoding: gzip, chunked, identity"]],
    ["chunks that are none", ["Transfer-Encoding: chunked"]],
    ["another site's page", ["Origin: https://evil.example.com"]],
    ["another site's fetch", ["Sec-Fetch-Site: cross-site"]],
    ["an address that is none", ["X-Forwarded-For: not-an-address"]],
    ["headers of more than 16 KiB", [`X-Long: ${"x".repeat(17_000)}`]],
    ["a header's name that is none", ["X Y: z"]],
    ["a NUL", ["X-Nul: a\0b"]]
  ])("%s", async (_, headers) => {
    await refused("POST", path(), content, ...headers)
  })
})

describe("links in the folder", () => {
  it("at every level are not followed, neither by an upload nor by a look", async () => {
    const store = join(relay.directory, "shared-files")
    const outside = join(relay.directory, "elsewhere")
    mkdirSync(join(outside, "A"), { recursive: true })
    writeFileSync(join(outside, "A", "motd"), content)
    const levels = [
      () => symlinkSync(outside, join(store, "files")),
      () => {
        mkdirSync(join(store, "R"))
        symlinkSync(outside, join(store, "R", "C"))
      },
      () => {
        mkdirSync(join(store, "B", "A"), { recursive: true })
        symlinkSync(join(outside, "A", "motd"), join(store, "B", "A", "motd"))
      }
    ]
    for (const make of levels) make()
    const before = snapshot()
    for (const target of ["files", "C", "B"]) {
      const upload = await request("POST", `${base}/shared-files/node/${target}/motd?${query}`, content)
      expect([target, statusOf(upload)]).toEqual([target, 500])
      const look = await request("HEAD", `${base}/shared-files/${target}/A/motd?hash=${"0".repeat(64)}`, "")
      expect([target, statusOf(look)]).toEqual([target, 500])
    }
    expect(snapshot()).toEqual(before)
  })

  it("the relay is well after all of it", async () => {
    const answer = await request("POST", `${base}/shared-files/node/B/well?${query}`, content)
    expect(statusOf(answer)).toBe(200)
  })
})
