/** HTTPS as the built program serves it: certificates, their reload, and callers known by theirs. */
import { X509Certificate } from "node:crypto"
import { copyFileSync, readFileSync, renameSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { type ConnectionOptions, connect, type TLSSocket } from "node:tls"
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest"
import { until } from "../support/Until.ts"
import { type Identity, makeIdentity, removeIdentities } from "./support/Identities.ts"
import {
  cleanUp,
  command,
  curl,
  events,
  nodes,
  type Options,
  prepare,
  type Relay,
  start
} from "./support/Program.ts"

let first: Identity
let second: Identity
let third: Identity

beforeAll(async () => {
  const made = await Promise.all([makeIdentity("root"), makeIdentity("root", 300), makeIdentity("another")])
  first = made[0]
  second = made[1]
  third = made[2]
})
afterAll(removeIdentities)
afterEach(cleanUp)

/** Replaces a file as a renewal does. */
const replace = (from: string, to: string): void => {
  copyFileSync(from, `${to}.new`)
  renameSync(`${to}.new`, to)
}

/** A relay that serves HTTPS with the first identity, from files of its own. */
const startTls = async (config: Options["config"] = {}, agent = "echo hello") => {
  const directory = prepare()
  const files = { certificate: join(directory, "cert.pem"), key: join(directory, "key.pem") }
  copyFileSync(first.certificate, files.certificate)
  copyFileSync(first.key, files.key)
  const relay = await start({
    directory,
    nodes: nodes(1),
    agent,
    config: { ...config, tls: { ...files, ...config.tls } }
  })
  return { relay, files, url: `https://127.0.0.1:${relay.port}/rudder/relay-api` }
}

const handshake = ({ port }: Relay, options: ConnectionOptions = {}): Promise<TLSSocket> =>
  new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1", rejectUnauthorized: false, ...options }, () =>
      resolve(socket)
    )
    socket.once("error", reject)
  })

const shown = async (relay: Relay): Promise<string | undefined> => {
  const socket = await handshake(relay)
  const certificate = socket.getPeerX509Certificate()?.fingerprint256
  socket.destroy()
  return certificate
}

/** How long the relay says that its own certificate is valid still: days. */
const daysLeft = async ({ port }: Relay): Promise<number> => {
  const { body } = await curl("-k", `https://127.0.0.1:${port}/metrics`)
  const seconds = /^rudder_relay_certificate_left_seconds\{certificate="own"\} (\S+)$/m.exec(body)?.[1]
  return Math.ceil(Number(seconds) / 86_400)
}

const fingerprint = ({ pem }: Identity): string => new X509Certificate(pem).fingerprint256

describe("a relay that serves HTTPS", () => {
  it("does so with TLS 1.2 and 1.3, and nothing older", async () => {
    const { relay } = await startTls()
    for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
      const socket = await handshake(relay, { minVersion: version, maxVersion: version })
      expect(socket.getProtocol()).toBe(version)
      socket.destroy()
    }
    const old = { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" } as const
    // An alert is the server's word: a client that had no such version would not get that far.
    await expect(handshake(relay, old)).rejects.toMatchObject({
      code: expect.stringMatching(/ALERT_PROTOCOL_VERSION/)
    })
    const plain = await command("curl", [
      "-sS",
      `http://127.0.0.1:${relay.port}/rudder/relay-api/system/info`
    ])
    expect(plain.code).not.toBe(0)
  })

  it("has another certificate after SIGHUP, and drops no connection for it", async () => {
    const { relay, files, url } = await startTls(
      {},
      'cd "$(dirname "$0")"; while [ ! -e go ]; do sleep 0.05; done; echo end'
    )
    const stream = curl("-k", `${url}/remote-run/all?output=keep&async=yes`)
    await until("the agent runs", async () => {
      const { body } = await curl("-k", `${url}/remote-run/runs`)
      return JSON.parse(body).runs[0]?.running === 1
    })
    const idle = await handshake(relay)
    expect(await shown(relay)).toBe(fingerprint(first))
    replace(second.certificate, files.certificate)
    replace(second.key, files.key)
    relay.kill("SIGHUP")
    await until("the new certificate is shown", async () => (await shown(relay)) === fingerprint(second))
    // The connections that were there are there.
    const answered = new Promise<string>((resolve) => idle.once("data", (bytes) => resolve(String(bytes))))
    idle.write("GET /rudder/relay-api/system/info HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    expect(await answered).toContain("200 OK")
    writeFileSync(join(relay.directory, "go"), "")
    const { status, body } = await stream
    expect(status).toBe(200)
    expect(events(body).at(-1)).toMatchObject({ event: "done", ok: 1 })
  })

  it("keeps what it has when the new pair does not fit, and says so", async () => {
    const { relay, files, url } = await startTls()
    replace(second.certificate, files.certificate)
    const { status, body } = await curl("-k", "-X", "POST", `${url}/system/reload`)
    expect(status).toBe(500)
    expect(JSON.parse(body)).toMatchObject({ result: "error", action: "reloadConfiguration" })
    expect(JSON.parse(body).errorDetails).toContain("tls.certificate")
    expect(await shown(relay)).toBe(fingerprint(first))
    // What the relay says of its certificate is of the one that callers see.
    expect(await daysLeft(relay)).toBe(30)
    replace(second.key, files.key)
    expect((await curl("-k", "-X", "POST", `${url}/system/reload`)).status).toBe(200)
    expect(await shown(relay)).toBe(fingerprint(second))
    expect(await daysLeft(relay)).toBe(300)
  })
})

/** What openssl says of a session that it begins with what it kept of an earlier one, and the answer there. */
const askByOpenssl = async (relay: Relay, ...options: ReadonlyArray<string>) => {
  const request =
    "GET /rudder/relay-api/system/info HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n"
  const { stdout, stderr } = await command("sh", [
    "-c",
    `printf '${request}' | openssl s_client -ign_eof -connect 127.0.0.1:${relay.port} "$@"`,
    "ask",
    ...options
  ])
  const session = /^(New|Reused), TLSv1\.[23]/m.exec(stdout)?.[1]
  return { session, answered: stdout.includes("200 OK"), log: `${stdout}${stderr}` }
}

describe("a session that a caller takes up again", () => {
  for (const version of ["-tls1_2", "-tls1_3"])
    it(`saves it the handshake's signature, and does no harm where the relay forgot it: ${version}`, async () => {
      const { relay, files } = await startTls()
      const session = join(relay.directory, "session.pem")
      const begun = await askByOpenssl(relay, version, "-sess_out", session)
      expect(begun).toMatchObject({ session: "New", answered: true })
      expect(await askByOpenssl(relay, version, "-sess_in", session)).toMatchObject({
        session: "Reused",
        answered: true
      })
      // With another certificate the old sessions are over: who takes one up is shown the new certificate.
      replace(second.certificate, files.certificate)
      replace(second.key, files.key)
      relay.kill("SIGHUP")
      await until("the new certificate is shown", async () => (await shown(relay)) === fingerprint(second))
      expect(await askByOpenssl(relay, version, "-sess_in", session)).toMatchObject({
        session: "New",
        answered: true
      })
    })

  for (const version of ["TLSv1.2", "TLSv1.3"] as const)
    it(`is still that of the certificate which it began with: ${version}`, async () => {
      const { relay } = await startTls({
        access: { policy_server: ["192.0.2.1"], policy_server_key_hash: [second.keyHash] }
      })
      const ask = async (options: ConnectionOptions) => {
        const socket = await handshake(relay, { minVersion: version, maxVersion: version, ...options })
        // From TLS 1.3 on they come behind the handshake.
        const sessions: Array<Buffer> = []
        socket.on("session", (session) => sessions.push(session))
        const isReused = socket.isSessionReused()
        const answer = new Promise<string>((resolve) =>
          socket.once("data", (bytes) => resolve(String(bytes)))
        )
        socket.write(
          "GET /rudder/relay-api/remote-run/runs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        const status = (await answer).slice(9, 12)
        const session = sessions.at(-1) ?? socket.getSession()
        socket.destroy()
        return { isReused, status, session }
      }
      const begun = await ask({ cert: second.pem, key: readFileSync(second.key) })
      expect(begun).toMatchObject({ isReused: false, status: "200" })
      expect(await ask({ session: begun.session })).toMatchObject({ isReused: true, status: "200" })
      expect(await ask({})).toMatchObject({ isReused: false, status: "403" })
    })
})

describe("the policy server", () => {
  const withCertificate = ({ certificate, key }: Identity) => ["--cert", certificate, "--key", key]
  // No address is the policy server's, so it has to be the certificate.
  const access = (identity: Identity) => ({
    policy_server: ["192.0.2.1"],
    policy_server_key_hash: [identity.keyHash]
  })

  it("is known by the key of its certificate, and by that alone", async () => {
    const { url } = await startTls({ access: access(second) })
    const run = async (...options: ReadonlyArray<string>) =>
      (await curl("-k", ...options, `${url}/remote-run/all?output=keep`)).status
    expect(await run(...withCertificate(second))).toBe(200)
    expect(await run(...withCertificate(third))).toBe(403)
    // The same subject, another key.
    expect(await run(...withCertificate(first))).toBe(403)
    expect(await run()).toBe(403)
    expect(await run("--tls-max", "1.2", ...withCertificate(second))).toBe(200)
  })

  it("is not asked for a certificate where none is to be asked for", async () => {
    const { url } = await startTls({ access: access(second), tls: { client_certificates: "none" } })
    const { status } = await curl("-k", ...withCertificate(second), `${url}/remote-run/all?output=keep`)
    expect(status).toBe(403)
  })

  it("and everybody else must show one where that is required", async () => {
    const { url, relay } = await startTls({ tls: { client_certificates: "require" } })
    expect((await curl("-k", ...withCertificate(third), `${url}/system/info`)).status).toBe(200)
    expect(relay.log()).not.toContain("handshake")
    for (const version of ["1.2", "1.3"]) {
      const { code } = await command("curl", ["-sSk", "--tls-max", version, `${url}/system/info`])
      expect(code).not.toBe(0)
    }
    await expect
      .poll(() => relay.log())
      .toMatch(/a TLS handshake failed.*address=127\.0\.0\.1 .*tls\.client_certificates/)
  })
})
