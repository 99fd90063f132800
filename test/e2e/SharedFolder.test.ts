/** The shared folder of the built program, asked by curl: files and their ranges, hostile paths, and who may ask. */
import { execFileSync } from "node:child_process"
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  symlinkSync,
  truncateSync,
  writeFileSync
} from "node:fs"
import { connect } from "node:net"
import { join } from "node:path"
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest"
import { until } from "../support/Until.ts"
import { type Identity, makeIdentity, removeIdentities } from "./support/Identities.ts"
import {
  cleanUp,
  command,
  curl,
  memory,
  type Options,
  prepare,
  type Relay,
  raw,
  start
} from "./support/Program.ts"
import { fileOf, hashOf, removeSenders } from "./support/Senders.ts"

const MiB = 1024 * 1024
const content = "0123456789"
const secret = "outside of the folder"

afterAll(removeSenders)

/** A relay with a shared folder, beside which there is a secret. */
const startShared = async (options: Options = {}) => {
  const directory = prepare()
  const shared = join(directory, "shared")
  mkdirSync(join(shared, "sub"), { recursive: true })
  writeFileSync(join(shared, "digits"), content)
  writeFileSync(join(shared, "sub/file"), "below\n")
  writeFileSync(join(directory, "secret"), secret)
  const relay = await start({
    ...options,
    directory,
    config: { ...options.config, shared_folder: { path: shared } }
  })
  return { relay, shared, url: `${relay.url}/shared-folder` }
}

/** Status, headers and body of an answer. */
const ask = async (...args: ReadonlyArray<string>) => {
  const { stdout, code } = await command("curl", ["-sS", "-i", ...args])
  const at = stdout.indexOf("\r\n\r\n")
  const [line = "", ...lines] = stdout.slice(0, at).split("\r\n")
  const headers = Object.fromEntries(
    lines.map((text) => [text.slice(0, text.indexOf(":")).toLowerCase(), text.slice(text.indexOf(":") + 2)])
  )
  return { code, status: Number(line.split(" ")[1]), headers, body: stdout.slice(at + 4) }
}

/** A change that was made just now can be told from the next one. */
const settled = (url: string): Promise<string> =>
  until("the file has settled", async () => {
    const { etag } = (await ask("-I", url)).headers
    return etag?.startsWith('"') ? etag : undefined
  })

/** What the program has open below a folder. */
const openBelow = (relay: Relay, folder: string): ReadonlyArray<string> =>
  readdirSync(`/proc/${relay.pid}/fd`).flatMap((fd) => {
    try {
      const target = readlinkSync(`/proc/${relay.pid}/fd/${fd}`)
      return target.startsWith(`${realpathSync(folder)}/`) ? [target] : []
    } catch {
      return []
    }
  })

describe("a file", () => {
  let relay: Relay
  let shared: string
  let url: string
  beforeAll(async () => {
    const started = await startShared()
    relay = started.relay
    shared = started.shared
    url = started.url
  })
  afterAll(cleanUp)

  it("is served under both bases, and as the head of it", async () => {
    const get = await ask(`${url}/digits`)
    expect(get).toMatchObject({
      status: 200,
      body: content,
      headers: {
        "content-type": "application/octet-stream",
        "content-length": "10",
        "accept-ranges": "bytes"
      }
    })
    expect((await ask(`${relay.url}/1/shared-folder/sub/file`)).body).toBe("below\n")
    const head = await ask("-I", `${url}/digits`)
    expect(head).toMatchObject({ status: 200, body: "" })
    expect(head.headers["content-length"]).toBe("10")
    expect((await ask("-I", `${url}/absent`)).status).toBe(404)
    expect((await ask("-X", "DELETE", `${url}/digits`)).status).toBe(405)
  })

  it("is not sent to who has it, by hash, tag or date", async () => {
    const path = join(shared, "digits")
    for (const type of ["sha256", "sha512"] as const) {
      const query = `hash=${await hashOf(path, type)}&hash_type=${type}`
      expect(await ask(`${url}/digits?${query}`)).toMatchObject({ status: 304, body: "" })
      expect((await ask("-I", `${url}/digits?${query}`)).status).toBe(304)
      expect((await ask("-I", `${url}/sub/file?${query}`)).status).toBe(200)
    }
    expect((await ask("-I", `${url}/digits?hash=${await hashOf(path, "sha256")}`)).status).toBe(304)
    expect((await ask("-I", `${url}/digits?hash=00&hash_type=md5`)).status).toBe(400)
    const etag = await settled(`${url}/digits`)
    expect((await ask("-H", `If-None-Match: ${etag}`, `${url}/digits`)).status).toBe(304)
    // curl makes the date of the file that it has.
    expect((await ask("-z", path, `${url}/digits`)).status).toBe(304)
    expect((await ask("-z", "2001-01-01", `${url}/digits`)).status).toBe(200)
  })

  it("is served in parts", async () => {
    const range = async (text: string, ...more: ReadonlyArray<string>) => {
      const { status, headers, body } = await ask("-r", text, ...more, `${url}/digits`)
      return [status, headers["content-range"], body]
    }
    expect(await range("0-0")).toEqual([206, "bytes 0-0/10", "0"])
    expect(await range("2-5")).toEqual([206, "bytes 2-5/10", "2345"])
    expect(await range("7-")).toEqual([206, "bytes 7-9/10", "789"])
    expect(await range("-4")).toEqual([206, "bytes 6-9/10", "6789"])
    expect(await range("10-")).toEqual([416, "bytes */10", ""])
    const etag = await settled(`${url}/digits`)
    expect(await range("7-", "-H", `If-Range: ${etag}`)).toEqual([206, "bytes 7-9/10", "789"])
    expect(await range("7-", "-H", 'If-Range: "other"')).toEqual([200, undefined, content])
  })

  it("is gone on with by curl after a download that was cut off", async () => {
    const large = Buffer.alloc(3 * MiB, "what curl goes on with\n")
    writeFileSync(join(shared, "large"), large)
    const partial = fileOf(large.subarray(0, 1_234_567))
    const { code } = await command("curl", ["-sS", "-C", "-", "-o", partial, `${url}/large`])
    expect(code).toBe(0)
    expect(readFileSync(partial).equals(large)).toBe(true)
  })

  it("that is replaced is another at once", async () => {
    const path = join(shared, "changing")
    writeFileSync(path, "one\n")
    const query = `?hash=${await hashOf(path, "sha256")}`
    await settled(`${url}/changing`)
    expect((await ask("-I", `${url}/changing${query}`)).status).toBe(304)
    writeFileSync(path, "two\n")
    expect((await ask("-I", `${url}/changing${query}`)).status).toBe(200)
    expect((await ask(`${url}/changing`)).body).toBe("two\n")
  })

  it("of 512 MiB costs no memory, to send and to hash, and keeps nobody waiting", async () => {
    // No bytes of it are on the disk.
    writeFileSync(join(shared, "huge"), "")
    truncateSync(join(shared, "huge"), 512 * MiB)
    await ask("-o", "/dev/null", `${url}/digits?hash=${"0".repeat(64)}`)
    const before = memory(relay.pid).now
    const downloads = [1, 2, 3].map(() => command("curl", ["-sS", "-o", "/dev/null", `${url}/huge`]))
    const hashes = [1, 2, 3].map(() => ask("-I", `${url}/huge?hash=${"0".repeat(64)}`))
    let going = true
    const all = Promise.all([Promise.all(downloads), Promise.all(hashes)]).finally(() => {
      going = false
    })
    let asked = 0
    while (going) {
      expect((await ask(`${url}/digits`)).body).toBe(content)
      asked++
    }
    const [sent, hashed] = await all
    expect(sent.map(({ code }) => code)).toEqual([0, 0, 0])
    expect(hashed.map(({ status }) => status)).toEqual([200, 200, 200])
    const grown = (memory(relay.pid).highest - before) / MiB
    console.log(`3 downloads and a hash of 512 MiB: ${grown.toFixed(1)} MiB more; ${asked} others answered`)
    expect(grown).toBeLessThan(80)
    // A file is closed behind its last byte, which its reader may have first.
    await until("the files are closed", () => openBelow(relay, shared).length === 0)
  })

  it("is closed when its reader leaves, and cut off when it becomes shorter", async () => {
    writeFileSync(join(shared, "log"), "")
    truncateSync(join(shared, "log"), 512 * MiB)
    const beginDownload = async () => {
      const socket = connect(relay.port, "127.0.0.1")
      socket.write("GET /rudder/relay-api/shared-folder/log HTTP/1.1\r\nHost: localhost\r\n\r\n")
      await new Promise((resolve) => socket.once("data", resolve))
      socket.pause()
      return socket
    }
    const leaving = await beginDownload()
    expect(openBelow(relay, shared)).toEqual([realpathSync(join(shared, "log"))])
    leaving.destroy()
    await until("the file is closed", () => openBelow(relay, shared).length === 0)
    const slow = await beginDownload()
    truncateSync(join(shared, "log"), 1 * MiB)
    let received = 0
    slow.on("data", (bytes) => {
      received += bytes.length
    })
    // A connection that stays open would have the client wait for the rest.
    await new Promise((resolve) =>
      slow
        .once("close", resolve)
        .resume()
        .on("error", () => {})
    )
    expect(received).toBeLessThan(512 * MiB)
    await until("the file is closed", () => openBelow(relay, shared).length === 0)
    await expect.poll(() => relay.log().match(/a file of the shared folder was cut off/g)).toHaveLength(1)
    expect((await ask(`${url}/digits`)).body).toBe(content)
  })
})

describe("a path that leads elsewhere", () => {
  let relay: Relay
  beforeAll(async () => {
    const { relay: started, shared } = await startShared()
    relay = started
    symlinkSync("../secret", join(shared, "link"))
    symlinkSync("..", join(shared, "up"))
    symlinkSync("/etc", join(shared, "etc"))
    symlinkSync("circle", join(shared, "circle"))
    execFileSync("mkfifo", [join(shared, "pipe")])
  })
  afterAll(cleanUp)

  it.each([
    "",
    ".",
    "..",
    "../secret",
    "../../../../../../../../etc/passwd",
    "sub/../../secret",
    "sub/..",
    "sub/../digits",
    "./digits",
    "sub/",
    "/secret",
    "//etc/passwd",
    "/etc/passwd",
    "sub//file",
    "digits/",
    "digits/..",
    "%2e%2e/secret",
    "%2E%2E/secret",
    ".%2e/secret",
    "%2e%2e%2fsecret",
    "..%2fsecret",
    "..%2Fsecret",
    "sub%2ffile",
    "%2fetc%2fpasswd",
    "..%5csecret",
    "..\\secret",
    "%252e%252e/secret",
    "..%252fsecret",
    "%c0%ae%c0%ae/secret",
    "%c0%ae%c0%ae%c0%afsecret",
    "%uff0e%uff0e/secret",
    "%ef%bc%8e%ef%bc%8e/secret",
    "..;/secret",
    "..%00/secret",
    "%00",
    "digits%00",
    "digits%00.txt",
    "digits%0a",
    "digits%20",
    "%",
    "%zz",
    "%ff",
    "link",
    "up/secret",
    "etc/passwd",
    "circle",
    "pipe",
    "file:///etc/passwd",
    "~root/.bashrc",
    "$(id)",
    "*",
    "dig*",
    ["a name too long", "a".repeat(300)],
    ["too many folders", "a/".repeat(2000)],
    ["a path too long", "a".repeat(5000)]
  ])("%s", async (name, path = name) => {
    for (const method of ["GET", "HEAD"])
      for (const query of ["", `?hash=${"0".repeat(64)}`]) {
        const answer = await raw(
          relay,
          `${method} /rudder/relay-api/shared-folder/${path}${query} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`
        )
        const status = Number(answer.split(" ")[1])
        expect([status, status >= 400 && status < 500]).toEqual([status, true])
        expect(answer).not.toContain(secret)
        expect(answer).not.toContain("root:")
        expect(answer).not.toContain(content)
      }
  })
})

describe("who may ask", () => {
  let node: Identity
  let sameId: Identity
  let unknown: Identity
  beforeAll(async () => {
    const made = await Promise.all([makeIdentity("A"), makeIdentity("A"), makeIdentity("stranger")])
    node = made[0]
    sameId = made[1]
    unknown = made[2]
  })
  afterAll(removeIdentities)
  afterEach(cleanUp)

  it("whom a trusted proxy has let through, wherever they are", async () => {
    const { url } = await startShared()
    expect((await curl("-H", "X-Forwarded-For: 198.51.100.7", `${url}/digits`)).status).toBe(200)
    // So can who is on this machine: it is where the trusted proxy is.
    expect((await curl(`${url}/digits`)).status).toBe(200)
  })

  it("nobody else without a certificate, whatever their headers say", async () => {
    const { relay, url } = await startShared({ config: { access: { trusted_proxies: ["192.0.2.1"] } } })
    for (const header of ["X-Nothing: here", "X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 127.0.0.1"])
      for (const path of ["digits", "absent"]) {
        const { status, body } = await curl("-H", header, `${url}/${path}`)
        expect([status, JSON.parse(body)._tag]).toEqual([403, "AccessDenied"])
      }
    await expect.poll(() => relay.log()).toContain("access.trusted_proxies")
  })

  it("a known node with its own key", async () => {
    const { relay } = await startShared({
      nodes: {
        A: { hostname: "a.example.com", "policy-server": "root", "key-hash": node.keyHash },
        keyless: { hostname: "k.example.com", "policy-server": "root" }
      },
      config: {
        access: { trusted_proxies: ["192.0.2.1"] },
        tls: { certificate: unknown.certificate, key: unknown.key }
      }
    })
    const url = `https://127.0.0.1:${relay.port}/rudder/relay-api/shared-folder/digits`
    const with_ = ({ certificate, key }: Identity) => ["--cert", certificate, "--key", key]
    expect(await curl("-k", ...with_(node), url)).toEqual({ status: 200, body: content })
    expect((await curl("-k", "-I", ...with_(node), `${url}?hash_type=md5`)).status).toBe(400)
    expect((await curl("-k", ...with_(sameId), url)).status).toBe(403)
    expect((await curl("-k", ...with_(unknown), url)).status).toBe(403)
    expect((await curl("-k", url)).status).toBe(403)
  })

  it("but a file that the daemon may not read is a StorageError, with a line in the log", async () => {
    const { relay, shared, url } = await startShared({
      prefix: ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]
    })
    writeFileSync(join(shared, "locked"), "locked\n", { mode: 0 })
    const { status, body } = await curl(`${url}/locked`)
    expect([status, JSON.parse(body)._tag]).toEqual([500, "StorageError"])
    expect(body).not.toContain(relay.directory)
    await expect.poll(() => relay.log()).toContain("the disk failed a request")
  })
})
