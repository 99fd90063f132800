// Shared files, beside openssl, cp and sync, and beside nginx as a WebDAV server where it is installed.
import { execFileSync, spawn, spawnSync } from "node:child_process"
import { createHash, createPublicKey, generateKeyPairSync, randomBytes, sign } from "node:crypto"
import { mkdirSync, writeFileSync } from "node:fs"
import { createServer } from "node:http"
import { connect } from "node:net"
import { join } from "node:path"
import { folder, many, memory, nodes, row, timed, withRelay } from "./support.mjs"

const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 })
const publicKey = createPublicKey(privateKey)
const keyHash = createHash("sha256").update(publicKey.export({ type: "spki", format: "der" }))
const list = nodes(2, { "key-hash": `sha256//${keyHash.digest("base64")}` })
const key = publicKey.export({ type: "pkcs1", format: "der" }).toString("base64url")

const config = (nodeId, more = "") =>
  `[general]\nnode_id = "${nodeId}"\nlisten = "127.0.0.1:0"\nnodes_list_file = "${folder}/nodes.json"\n${more}` +
  `[remote_run]\nenabled = false\nuse_sudo = false\ndirectory = "${folder}/runs"\n` +
  `[shared_files]\npath = "${folder}/shared-files"\noutbox = "${folder}/outbox"\nforward_wait = 0\n[log]\nlevel = "info"\n`

const path = (target, name, content) =>
  `/shared-files/node/${target}/${name}?source-uuid=n0&public-key=${key}&signature=${sign("sha512", content, privateKey).toString("base64url")}`

const send = async (url, method, body) => {
  const answer = await fetch(url, { method, body })
  await answer.arrayBuffer()
  if (!answer.ok) throw new Error(`${method} ${url.slice(0, 80)}: ${answer.status}`)
}

/** Runs nginx, which takes files by PUT, while `use` runs; gives undefined where there is no nginx. */
const withNginx = async (use) => {
  if (spawnSync("nginx", ["-v"]).status !== 0) return undefined
  const place = createServer().listen(0, "127.0.0.1")
  await new Promise((resolve) => place.once("listening", resolve))
  const { port } = place.address()
  await new Promise((resolve) => place.close(resolve))
  mkdirSync(join(folder, "dav/temp"), { recursive: true, mode: 0o777 })
  writeFileSync(
    join(folder, "nginx.conf"),
    `user root; worker_processes 1; daemon off; pid ${folder}/nginx.pid; error_log ${folder}/nginx.log;
events {} http { access_log off; client_body_temp_path ${folder}/dav/temp; client_max_body_size 0;
server { listen 127.0.0.1:${port}; root ${folder}/dav; location / { dav_methods PUT; create_full_put_path on; } } }`
  )
  const child = spawn("nginx", ["-c", join(folder, "nginx.conf")], { stdio: "ignore" })
  const gone = new Promise((resolve) => child.once("exit", resolve))
  const listens = () =>
    new Promise((resolve) => {
      const socket = connect(port, "127.0.0.1", () => resolve(true) || socket.destroy())
      socket.once("error", () => resolve(false))
    })
  for (let tries = 0; tries < 200 && !(await listens()); tries++)
    await new Promise((resolve) => setTimeout(resolve, 10))
  try {
    return await use(`http://127.0.0.1:${port}`)
  } finally {
    child.kill("SIGTERM")
    await gone
  }
}

const besides = (mine, nginx) =>
  nginx === undefined ? "" : `, ${(mine / nginx).toFixed(2)} × the time of nginx's PUT, which syncs nothing`

const large = async () => {
  const file = join(folder, "large")
  const size = 512 * 1024 * 1024
  execFileSync("sh", ["-c", 'head -c "$1" /dev/urandom > "$2"', "sh", String(size), file])
  const keyFile = join(folder, "key.pem")
  writeFileSync(keyFile, privateKey.export({ type: "pkcs8", format: "pem" }))
  const signature = execFileSync("openssl", ["dgst", "-sha512", "-sign", keyFile, file]).toString("base64url")
  const query = `source-uuid=n0&public-key=${key}&signature=${signature}`
  const put = async (url) => {
    execFileSync("curl", [
      "-fsS",
      "-T",
      file,
      "-X",
      url.includes("?") ? "POST" : "PUT",
      "-o",
      "/dev/null",
      url
    ])
  }
  await withRelay(list, config("root"), async ({ url, pid }) => {
    const before = memory(pid, "VmRSS")
    const byHand = await timed(() =>
      execFileSync("sh", [
        "-c",
        'openssl sha512 "$1" > "$1.hash"; cp "$1" "$1.copy"; sync "$1.copy"',
        "sh",
        file
      ])
    )
    const mine = await timed(() => put(`${url}/shared-files/node/n1/large?${query}`))
    const nginx = await withNginx((dav) => timed(() => put(`${dav}/large`)))
    row(
      "512 MiB, uploaded, verified and synced",
      `${(512 / mine).toFixed(0)} MiB/s = ${(mine / byHand).toFixed(2)} × the time of openssl, cp, sync${besides(mine, nginx)}`
    )
    row("resident memory, grown by", `${(memory(pid, "VmHWM") - before).toFixed(0)} MiB`)
  })
}

const small = async () => {
  const count = 2000
  const content = randomBytes(4096)
  const paths = Array.from({ length: count }, (_, at) => path("n1", `f${at}`, content))
  await withRelay(list, config("root"), async ({ url }) => {
    const mine = await timed(() => many(count, 16, (at) => send(`${url}${paths[at]}`, "POST", content)))
    const nginx = await withNginx((dav) =>
      timed(() => many(count, 16, (at) => send(`${dav}/n1/files/n0/f${at}`, "PUT", content)))
    )
    row(
      `${count} files of 4 KiB, 16 at once, each synced`,
      `${(count / mine).toFixed(0)}/s${besides(mine, nginx)}`
    )
    const hash = createHash("sha512").update(content).digest("hex")
    const asked = await timed(() =>
      many(count, 16, (at) => send(`${url}/shared-files/node/n1/f${at}?source-uuid=n0&hash=${hash}`, "HEAD"))
    )
    row("HEAD, 16 at once over kept connections", `${(count / asked).toFixed(0)}/s`)
  })
}

const outbox = async () => {
  const count = 2000
  let taken = 0
  let allTaken
  const all = new Promise((resolve) => {
    allTaken = resolve
  })
  let isThere = false
  const policyServer = createServer((request, response) => {
    request.resume().once("end", () => {
      response.statusCode = isThere ? 200 : 503
      response.end()
      if (isThere && request.method === "PUT" && ++taken === count) allTaken()
    })
  }).listen(0, "127.0.0.1")
  await new Promise((resolve) => policyServer.once("listening", resolve))
  const origin = `http://127.0.0.1:${policyServer.address().port}`
  const content = randomBytes(4096)
  const paths = Array.from({ length: count }, (_, at) => path("far", `f${at}`, content))
  const upstream = `[output.upstream]\nurl = "${origin}"\n`
  await withRelay(
    { n0: { ...list.n0, "policy-server": "me" } },
    config("me", upstream),
    async ({ url, pid }) => {
      await many(count, 16, (at) => send(`${url}${paths[at]}`, "POST", content))
      const before = memory(pid, "VmRSS")
      isThere = true
      const drained = await timed(async () => {
        await send(`${url}/system/outbox/retry`, "POST")
        await all
      })
      const bare = await timed(() => many(count, 8, () => send(origin, "PUT", content)))
      row(
        `${count} waiting files, taken by the policy server`,
        `${(count / drained).toFixed(0)}/s = ${(drained / bare).toFixed(1)} × the time of bare PUTs`
      )
      row("resident memory, grown by", `${(memory(pid, "VmHWM") - before).toFixed(0)} MiB`)
    }
  )
  policyServer.closeAllConnections()
  policyServer.close()
}

export const sharedFiles = async () => {
  await large()
  await small()
  await outbox()
}
