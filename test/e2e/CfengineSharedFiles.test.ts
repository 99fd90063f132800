/** Real cf-agents share files through a relay as it is deployed: over HTTPS, as a user of its own, with cf-serverd beside. */
import { randomBytes } from "node:crypto"
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync
} from "node:fs"
import { createServer } from "node:https"
import { join } from "node:path"
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest"
import { until } from "../support/Until.ts"
import { type DaemonUser, freePort, type Host, introduce, serve } from "./support/Cfengine.ts"
import { nodeOf, onSite } from "./support/CfengineSite.ts"
import { type Identity, makeIdentity } from "./support/Identities.ts"
import { command, curl, type Relay } from "./support/Program.ts"
import {
  classesOf,
  documentedBlocks,
  fieldsOf,
  fromNode,
  install,
  reportsOf,
  script,
  secureUrl,
  settle,
  startAs,
  toNode,
  use
} from "./support/Sharing.ts"

let folder: string
let user: DaemonUser
let identity: Identity
let stranger: Identity
let relay: Relay
let a: Host
let b: Host
let c: Host
let copyPort: number

/** Where the relay stores what B gets from A. */
const stored = (fileId: string) => join(relay.directory, "shared-files/B/files/A", fileId)

const settings = (id: string): Record<string, string> => ({
  node_id: id,
  server: "127.0.0.1",
  port: String(copyPort),
  path: join(relay.directory, "shared-files"),
  relay_url: secureUrl(relay),
  certificate: identity.certificate
})

onSite(async ({ host, ...site }) => {
  folder = site.folder
  user = site.user
  const identities = await Promise.all([makeIdentity("root"), makeIdentity("root")])
  identity = identities[0]
  stranger = identities[1]
  const server = host("server")
  a = host("a")
  b = host("b")
  c = host("c")
  introduce(b, server)
  introduce(c, server)
  relay = await startAs(user, {
    identity,
    nodes: { A: nodeOf(a), B: nodeOf(b), C: nodeOf(c) },
    config: { shared_files: { layout: "rudder" }, "shared_files.cleanup": { frequency: "200ms" } }
  })
  const own = (id: string) => join(relay.directory, "shared-files", id)
  copyPort = await serve(server, { folders: { [own("B")]: [b.digest], [own("C")]: [c.digest] } })
  return relay
})
beforeEach(() => {
  install(a, settings("A"))
  install(b, settings("B"))
  install(c, settings("C"))
})

/** A file of A's, and where B puts what it gets. */
const files = (name: string) => ({ file: join(folder, `${name}.file`), copy: join(folder, `${name}.copy`) })

const share = (fileId: string, file: string, ttl?: string, options: Parameters<typeof use>[2] = {}) =>
  use(a, [toNode("B", fileId, file, ttl)], options)
const get = (fileId: string, copy: string) => use(b, [fromNode("A", fileId, copy)])

const shares = (fileId: string, outcome: "kept" | "repaired" | "error") =>
  classesOf(`sharedfile_to_node_${fileId}`, outcome)
const gets = (fileId: string, outcome: "kept" | "repaired" | "error") =>
  classesOf(`sharedfile_from_node_${fileId}`, outcome)

/** A curl for A that does something else first: with the real one in `$curl`. */
const insteadOfCurl = async (name: string, text: string) => {
  const bin = mkdtempSync(join(folder, `${name}-`))
  const curl = (await command("sh", ["-c", "command -v curl"])).stdout.trim()
  script(join(bin, "curl"), `curl=${curl}\n${text}`)
  return { bin, env: [`PATH=${bin}:${process.env.PATH}`] }
}

/** B has nothing, and says so in one line. */
const expectNothing = async (fileId: string, copy: string) => {
  const got = await get(fileId, copy)
  expect(got.classes).toEqual(gets(fileId, "error"))
  expect(got.reports).toEqual([
    `sharedfile_from_node: ${fileId} of A is not up to date: ${stored(fileId)} cannot be copied from 127.0.0.1, port ${copyPort}`
  ])
  expect(existsSync(copy)).toBe(false)
}

describe("a file that A shares with B", () => {
  it("is sent and copied once, and again when it changes", async () => {
    const { file, copy } = files("travels")
    for (const content of [randomBytes(100_000), randomBytes(100_000), Buffer.alloc(0)]) {
      writeFileSync(file, content)
      expect(await share("id_1", file)).toMatchObject({ classes: shares("id_1", "repaired"), reports: [] })
      expect(await get("id_1", copy)).toMatchObject({ classes: gets("id_1", "repaired"), reports: [] })
      expect(readFileSync(copy).equals(content)).toBe(true)
      const before = [statSync(stored("id_1")), statSync(copy)]
      expect(await share("id_1", file)).toMatchObject({ classes: shares("id_1", "kept"), reports: [] })
      expect(await get("id_1", copy)).toMatchObject({ classes: gets("id_1", "kept"), reports: [] })
      const after = [statSync(stored("id_1")), statSync(copy)]
      expect(after.map(({ ino, mtimeMs }) => [ino, mtimeMs])).toEqual(
        before.map(({ ino, mtimeMs }) => [ino, mtimeMs])
      )
    }
    expect(statSync(stored("id_1"))).toMatchObject({ uid: user.uid, gid: user.gid, mode: 0o100640 })
  })

  it("is copied again when the copy changes", async () => {
    const { file, copy } = files("spoilt")
    writeFileSync(file, "as it was")
    await share("id_2", file)
    await get("id_2", copy)
    chmodSync(copy, 0o644)
    // Of the same size, since contents count.
    writeFileSync(copy, "as it is!")
    expect((await get("id_2", copy)).classes).toEqual(gets("id_2", "repaired"))
    expect(readFileSync(copy, "utf8")).toBe("as it was")
    expect(statSync(copy).mode).toBe(0o100600)
    // Nothing else is left there.
    expect(readdirSync(folder).filter((name) => name.startsWith("spoilt"))).toEqual([
      "spoilt.copy",
      "spoilt.file"
    ])
  })

  it("is signed with A's key, and so is for whom, under which name, for how long and when", async () => {
    const { file } = files("signed")
    writeFileSync(file, "signed\n")
    await share("id_3", file, "1week 2 days")
    const { algorithm, digest, hash_value, request_signature, ttl, date } = fieldsOf(stored("id_3"))
    expect(algorithm).toBe("sha512")
    const lines = ["rudder-relay-2", "B", "A", "id_3", "1week 2 days", date, `sha512:${hash_value}`]
    expect(ttl).toBe("1week 2 days")
    for (const [text, signature] of [
      ["signed\n", digest],
      [`${lines.join("\n")}\n`, request_signature]
    ] as const) {
      writeFileSync(join(folder, "text"), text)
      writeFileSync(join(folder, "signature"), Buffer.from(signature ?? "", "hex"))
      const verified = await command("sh", [
        "-c",
        `openssl rsa -RSAPublicKey_in -in "${a.folder}/ppkeys/localhost.pub" -pubout -out "${folder}/key" &&
          openssl dgst -sha512 -verify "${folder}/key" -signature "${folder}/signature" "${folder}/text"`
      ])
      expect(verified).toMatchObject({ code: 0, stdout: "Verified OK\n" })
    }
  })

  it.each([
    ["", undefined],
    ["90", 90],
    ["2d 3h", 51 * 3600],
    ["3minutes1hour", 3780]
  ])("is there for as long as its ttl says: %j", async (ttl, seconds) => {
    const { file } = files("ttl")
    writeFileSync(file, `for ${ttl}`)
    const begun = Date.now() / 1000
    expect((await share("id_ttl", file, ttl)).classes).toEqual(shares("id_ttl", "repaired"))
    const ended = Date.now() / 1000
    const { expires } = fieldsOf(stored("id_ttl"))
    if (seconds === undefined) return expect(expires).toBeUndefined()
    expect(Number(expires)).toBeGreaterThanOrEqual(Math.floor(begun + seconds))
    expect(Number(expires)).toBeLessThanOrEqual(Math.ceil(ended + seconds))
  })

  it("is gone for B when its ttl has passed; what B has stays", async () => {
    const { file, copy } = files("expired")
    writeFileSync(file, "for a while")
    // On a slow machine it may have passed before B asks.
    for (let seconds = 2; !existsSync(copy); seconds *= 2) {
      await share("id_4", file, `${seconds}s`)
      await get("id_4", copy)
    }
    await until("it has expired", () => !existsSync(stored("id_4")))
    await expectNothing("id_4", join(folder, "expired.other"))
    expect((await get("id_4", copy)).classes).toEqual(gets("id_4", "error"))
    expect(readFileSync(copy, "utf8")).toBe("for a while")
    // A shares it anew.
    expect((await share("id_4", file)).classes).toEqual(shares("id_4", "repaired"))
    expect((await get("id_4", copy)).classes).toEqual(gets("id_4", "kept"))
  })

  it("is sent again when it was changed behind the relay's back", async () => {
    const { file, copy } = files("behind")
    writeFileSync(file, "right")
    await share("id_5", file)
    writeFileSync(stored("id_5"), "wrong")
    expect((await share("id_5", file)).classes).toEqual(shares("id_5", "repaired"))
    expect((await get("id_5", copy)).classes).toEqual(gets("id_5", "repaired"))
    expect(readFileSync(copy, "utf8")).toBe("right")
  })

  it("is shared by the documentation's policy, which prints what it says there", async () => {
    const [policy = ""] = documentedBlocks("cfengine")
    const printed = (documentedBlocks("")[0] ?? "").trimEnd().split("\n")
    expect(await reportsOf(a, policy)).toEqual(printed.slice(0, 1))
    expect(readFileSync(stored("hosts"), "utf8")).toBe(readFileSync("/etc/hosts", "utf8"))
    expect(await reportsOf(a, policy)).toEqual(printed.slice(1, 2))
    const port = await freePort()
    settle(a, { ...settings("A"), relay_url: `https://127.0.0.1:${port}/rudder/relay-api` })
    const down = await reportsOf(a, policy)
    expect(down).toHaveLength(2)
    // How curl goes on depends on its version.
    const start = printed[2]?.replace(/(?<=curl: \(7\) ).*/, "").replace(":443/", `:${port}/`) ?? ""
    expect(down[0]?.slice(0, start.length)).toBe(start)
    expect(down[1]).toBe(printed[3])
  })

  it("is not C's to get", async () => {
    const { file, copy } = files("private")
    writeFileSync(file, "for B alone")
    await share("id_6", file)
    settle(c, settings("B"))
    const got = await use(c, [fromNode("A", "id_6", copy)])
    expect(got.classes).toEqual(gets("id_6", "error"))
    expect(existsSync(copy)).toBe(false)
  })
})

describe("what is not A's file reaches nobody", () => {
  it("when it is changed on its way", async () => {
    const { file, copy } = files("tampered")
    writeFileSync(file, "right")
    const { env } = await insteadOfCurl(
      "tamper",
      `count=$#
      while [ $count -gt 0 ]; do
        if [ "$last" = -T ]; then echo wrong > ${folder}/wrong; last=${folder}/wrong; else last=$1; fi
        shift
        set -- "$@" "$last"
        count=$((count - 1))
      done
      exec $curl "$@"`
    )
    const sent = await share("id_7", file, "", { env })
    expect(sent.classes).toEqual(shares("id_7", "error"))
    expect(sent.reports).toEqual([
      expect.stringMatching(
        /^sharedfile_to_node: id_7 is not shared with B: the relay answered 403 .*hash-mismatch/
      )
    ])
    await expectNothing("id_7", copy)
  })

  it.each([
    ["another node's key", () => ({ key: join(c.folder, "ppkeys/localhost.priv") }), "key-mismatch"],
    ["another node's name", () => ({ node_id: "C" }), "key-mismatch"],
    ["a name that nobody has", () => ({ node_id: "X" }), "unknown-source"]
  ])("when it comes with %s", async (_name, wrong, reason) => {
    const { file, copy } = files("foreign")
    writeFileSync(file, "foreign")
    settle(a, { ...settings("A"), ...wrong() })
    const sent = await share("id_8", file)
    expect(sent.classes).toEqual(shares("id_8", "error"))
    expect(sent.reports).toEqual([
      expect.stringMatching(
        new RegExp(`^sharedfile_to_node: id_8 is not shared with B: the relay answered 403 .*${reason}`)
      )
    ])
    await expectNothing("id_8", copy)
    expect(existsSync(join(relay.directory, "shared-files/B/files/C"))).toBe(false)
  })

  it("when it was A's, for another node, under another name, for another time, or before", async () => {
    const { file, copy } = files("replayed")
    const { bin, env } = await insteadOfCurl(
      "record",
      `for url; do :; done
      case "$url" in *"&signature="*) printf %s "$url" > "$(dirname "$0")/url" ;; esac
      exec $curl "$@"`
    )
    writeFileSync(file, "old")
    expect((await share("id_9", file, "1d", { env })).classes).toEqual(shares("id_9", "repaired"))
    const url = readFileSync(join(bin, "url"), "utf8")
    const old = join(folder, "old")
    writeFileSync(old, "old")
    const again = async (from: RegExp, to: string) => {
      expect(url).toMatch(from)
      const { status, body } = await curl("-k", "-g", "-X", "POST", "-T", old, url.replace(from, to))
      return { status, reason: JSON.parse(body).reason }
    }
    const refused = { status: 403, reason: "signature-mismatch" }
    expect(await again(/\/B\//, "/C/")).toEqual(refused)
    expect(await again(/id_9/, "id_10")).toEqual(refused)
    expect(await again(/ttl=1d/, "ttl=9d")).toEqual(refused)
    expect(await again(/(?<=date=[^&]*)Z/, "%2B00:00")).toEqual(refused)
    expect(await again(/date=\d/, "date=3")).toEqual({ status: 403, reason: "stale" })
    // Dates are in seconds.
    const signed = Date.parse(fieldsOf(stored("id_9")).date ?? "")
    await until("the next second", () => Date.now() >= signed + 1000)
    writeFileSync(file, "new")
    expect((await share("id_9", file, "1d")).classes).toEqual(shares("id_9", "repaired"))
    expect(await again(/$/, "")).toEqual({ status: 403, reason: "stale" })
    // Nor does it do without what was signed.
    expect(await again(/&date=[^&]*|&request-signature=[^&]*/g, "")).toMatchObject({ status: 403 })
    await get("id_9", copy)
    expect(readFileSync(copy, "utf8")).toBe("new")
    expect(existsSync(join(relay.directory, "shared-files/C"))).toBe(false)
  })
})

describe("the relay is known by", () => {
  const sharedAs = async (fileId: string, how: Record<string, string>) => {
    const { file } = files(fileId)
    writeFileSync(file, `known by ${Object.keys(how)}`)
    const { certificate: _, ...others } = settings("A")
    settle(a, { ...others, ...how })
    return share(fileId, file)
  }

  it("its key, given as such or in a certificate", async () => {
    expect((await sharedAs("id_11", { pinned_key: identity.keyHash })).classes).toEqual(
      shares("id_11", "repaired")
    )
    // Its own name is on the certificate, which is nobody's business.
    expect((await sharedAs("id_12", { certificate: identity.certificate })).classes).toEqual(
      shares("id_12", "repaired")
    )
  })

  it("the authority that signed its certificate", async () => {
    const at = (name: string) => join(folder, name)
    const made = await command("sh", [
      "-ec",
      `cd "${folder}"
      openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem
      openssl req -newkey rsa:2048 -nodes -subj /CN=relay -keyout signed.key -out signed.csr
      echo subjectAltName=IP:127.0.0.1 > extensions
      openssl x509 -req -in signed.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out signed.pem`
    ])
    expect(made).toMatchObject({ code: 0 })
    const other = await startAs(user, {
      identity: { ...identity, certificate: at("signed.pem"), key: at("signed.key") },
      nodes: JSON.parse(readFileSync(join(relay.directory, "nodeslist.json"), "utf8"))
    })
    const relayUrl = { relay_url: secureUrl(other) }
    expect((await sharedAs("id_13", { ...relayUrl, ca: at("ca.pem") })).classes).toEqual(
      shares("id_13", "repaired")
    )
    expect((await sharedAs("id_14", { ...relayUrl, ca: stranger.certificate })).classes).toEqual(
      shares("id_14", "error")
    )
    expect((await sharedAs("id_14", relayUrl)).classes).toEqual(shares("id_14", "error"))
    expect(existsSync(join(other.directory, "shared-files/B/A/id_14"))).toBe(false)
    await other.stop()
  })

  describe("else nothing is sent, and A says why, with", () => {
    const asked: Array<string> = []
    const impostor = createServer((request, response) => {
      asked.push(`${request.method} ${request.url}`)
      response.writeHead(503).end()
    })
    beforeAll(async () => {
      impostor.setSecureContext({ cert: identity.pem, key: readFileSync(identity.key) })
      await new Promise<void>((resolve) => impostor.listen(0, "127.0.0.1", resolve))
    })
    afterAll(() => {
      impostor.close()
      impostor.closeAllConnections()
    })

    it.each([
      ["another key", () => ({ pinned_key: stranger.keyHash }), /no answer from \S+: curl: .*pin.*key/i],
      [
        "another certificate",
        () => ({ certificate: stranger.certificate }),
        /no answer from \S+: curl: .*pin/i
      ],
      ["no certificate", () => ({ certificate: a.folder }), /cannot read the certificate \S+$/],
      ["another authority", () => ({ ca: stranger.certificate }), /no answer from \S+: curl: .*certificate/],
      ["the system's authorities", () => ({}), /no answer from \S+: curl: .*certificate/],
      ["what is right", () => ({ certificate: identity.certificate }), /the relay answered 503/]
    ])("%s", async (name, how, reason) => {
      asked.length = 0
      const address = impostor.address()
      const port = typeof address === "object" && address !== null ? address.port : 0
      const { classes, reports } = await sharedAs("id_15", {
        relay_url: `https://127.0.0.1:${port}/rudder/relay-api`,
        ...how()
      })
      expect(classes).toEqual(shares("id_15", "error"))
      expect(reports).toEqual([expect.stringMatching(reason)])
      expect(reports[0]).toMatch(/^sharedfile_to_node: id_15 is not shared with B: /)
      expect(asked.length).toBe(name === "what is right" ? 1 : 0)
    })
  })
})
