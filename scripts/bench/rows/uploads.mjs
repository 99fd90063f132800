// Uploads, and the outbox.
import { execFileSync } from "node:child_process"
import { createHash, randomBytes } from "node:crypto"
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { open } from "node:fs/promises"
import { createServer } from "node:http"
import { join } from "node:path"
import { crc32 } from "node:zlib"
import { load, request } from "../load.mjs"
import {
  freePort,
  memory,
  newFolder,
  nginx,
  nodes,
  peer,
  peerFile,
  reading,
  relay,
  run,
  script,
  sharing,
  timed,
  uploadPath
} from "../support.mjs"

const list = nodes(2, sharing.fields)
const below = { n0: { ...list.n0, "policy-server": "me" } }
const content = randomBytes(4096)
let name = 0

/** Uploads of so many new files. */
const uploads = (target, count) =>
  Array.from({ length: count }, () => request("POST", uploadPath(target, `f${++name}`, content), content))

/** The same to a server that takes whatever is PUT. */
const puts = (count) => Array.from({ length: count }, () => request("PUT", `/f${++name}`, content))

/** A reading of these requests, over 32 connections. */
const loaded = (port, pid, wanted) =>
  reading(wanted.length, () => load(port, 32, wanted.length, (at) => wanted[at]), pid)

/** V8 is not done with what an upload runs before some twenty thousand of them: of fewer its compilers are half the work. */
const warmUps = 5

/** @param kind what it keeps: files as the store does, or entries as the outbox does */
const durable = async (scope, kind) => scope(await peer("durable", newFolder(), kind))

const small = {
  name: "put",
  what: "uploads of 4 KiB, different files, 32 connections, each on the disk before the answer",
  warmUps,
  aims: [
    { figure: "rate", over: "bare node, same syncs", least: 0.7, or: 3000 },
    { figure: "cpu", most: 600 }
  ],
  prepare: async (scope, isShort) => {
    const count = isShort ? 2000 : 4000
    const here = scope(await relay(list, { shared_files: "max_uploads_per_address = 64\n" }))
    const bare = await durable(scope, "files")
    const dav = scope(await nginx())
    return {
      here: () => loaded(here.port, here.pid, uploads("n1", count)),
      "bare node, same syncs": () => loaded(bare.port, bare.pid, puts(count)),
      "nginx, not synced": () => loaded(dav.port, undefined, puts(count)),
      "nginx, each then synced": async () => {
        const first = name + 1
        const wanted = puts(count)
        return reading(count, async () => {
          await load(dav.port, 32, count, (at) => wanted[at])
          let next = first
          await Promise.all(
            Array.from({ length: 32 }, async () => {
              while (next < first + count) {
                const file = await open(join(dav.root, `f${next++}`))
                await file.sync()
                await file.close()
              }
            })
          )
        })
      }
    }
  }
}

/**
 * A policy server that takes everything, from `begin` on: until then it answers nothing, so that the relay's first probe
 * waits, and no entry is tried in vain.
 */
const policyServer = async (scope) => {
  const held = []
  const waited = new Map()
  let taken = 0
  const state = {
    isThere: false,
    /** When so many were taken. */
    until: (count) => new Promise((resolve) => waited.set(count, resolve)),
    begin: () => {
      state.isThere = true
      for (const take of held.splice(0)) take()
    }
  }
  const listening = createServer((asked, answer) => {
    const take = () => {
      // Of a relay that was stopped meanwhile.
      if (answer.destroyed) return
      answer.end()
      waited.get(++taken)?.()
    }
    asked.resume().once("end", () => (state.isThere ? take() : held.push(take)))
  }).listen(0, "127.0.0.1")
  await new Promise((resolve) => listening.once("listening", resolve))
  scope({
    stop: () => {
      listening.closeAllConnections()
      listening.close()
    }
  })
  const { port } = listening.address()
  return { state, port, upstream: `base_url = "http://127.0.0.1:${port}"\n` }
}

const sharedFiles = "forward_wait = 0\nmax_uploads_per_address = 64\n"

const accept = {
  name: "outbox-accept",
  what: "uploads of 4 KiB for a node elsewhere whose policy server can't be reached, 32 connections, kept in the outbox before the answer",
  warmUps,
  aims: [
    { figure: "rate", over: "bare node, same syncs", least: 0.7, or: 3000 },
    { figure: "cpu", most: 600 }
  ],
  prepare: async (scope, isShort) => {
    const count = isShort ? 1000 : 3000
    // Nobody is there: to be refused, over and over, is work of its own.
    const here = scope(await relay(below, elsewhere(`base_url = "http://127.0.0.1:${await freePort()}"\n`)))
    const bare = await durable(scope, "entries")
    return {
      here: () => loaded(here.port, here.pid, uploads("far", count)),
      "bare node, same syncs": () => loaded(bare.port, bare.pid, puts(count))
    }
  }
}

/** Puts entries into an outbox, as the relay would have left them: copies of one that it has made. */
const copyEntries = (outbox, count) => {
  const entries = join(outbox, "entries")
  const [shard] = readdirSync(entries).filter((each) => readdirSync(join(entries, each)).length > 0)
  const first = readdirSync(join(entries, shard)).find((name) => name.endsWith(".entry"))
  const [, order, size, time] = /^[0-9a-f]{32}-([0-9a-f]{16})-(\d+)-(\d+)/.exec(first)
  const whole = readFileSync(join(entries, shard, first))
  const [, record, last] = /^(.*\n)(entry [^\n]*\n)$/s.exec(whole.subarray(Number(size)).toString())
  for (let at = 1; at < count; at++) {
    const fileId = `copy${at}`
    const key = createHash("sha256").update(`far/n0/${fileId}`).digest("hex").slice(0, 32)
    const next = (BigInt(`0x${order}`) + BigInt(at)).toString(16).padStart(16, "0")
    const front = Buffer.concat([content, Buffer.from(record.replace(/^file_id=.*$/m, `file_id=${fileId}`))])
    const end = last
      .replace(/request=\d+/, `request=${String(front.length - content.length).padStart(6, "0")}`)
      .replace(/crc32=\w+/, `crc32=${crc32(front).toString(16).padStart(8, "0")}`)
    const folder = join(entries, key.slice(0, 3))
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    const path = join(folder, `${key}-${next}-${size}-${time}.waiting.entry`)
    writeFileSync(path, Buffer.concat([front, Buffer.from(end)]))
  }
}

const elsewhere = (upstream) => ({ general: 'node_id = "me"\n', shared_files: sharedFiles, upstream })

/** Makes a folder with an outbox in which so many entries wait, and uses it. */
const withWaiting = async (count, use) => {
  const things = []
  const scope = (thing) => {
    things.push(thing)
    return thing
  }
  try {
    const { port, state, upstream } = await policyServer(scope)
    const first = await relay(below, elsewhere(upstream))
    await load(first.port, 1, 1, () => uploads("far", 1)[0])
    await first.stop()
    copyEntries(join(first.directory, "outbox"), count)
    return await use({ directory: first.directory, port, scope, state, upstream })
  } finally {
    for (const thing of things.reverse()) await thing.stop()
  }
}

/** Time and work until so many entries that wait are gone, behind as many others of which nothing is measured. */
const drained =
  (count, before = 0) =>
  () =>
    withWaiting(before + count, async ({ directory, scope, state, upstream }) => {
      const here = scope(await relay(below, elsewhere(upstream), { directory }))
      const first = state.until(before)
      const all = state.until(before + count)
      if (before > 0) {
        state.begin()
        await first
      }
      const taken = () => {
        state.begin()
        return all
      }
      return { ...(await reading(count, taken, here.pid)), memory: memory(here.pid, "VmHWM") }
    })

const drainedByBareNode = (count, before) => () =>
  withWaiting(before + count, async ({ directory, port, state }) => {
    state.begin()
    const { stdout } = await run(process.execPath, [
      peerFile("drain"),
      join(directory, "outbox"),
      String(port),
      "8",
      String(before)
    ])
    const { cpu, seconds } = JSON.parse(stdout)
    return { rate: count / seconds, cpu }
  })

const drain = {
  name: "outbox-drain",
  what: "files of 4 KiB that wait, taken by the policy server, behind as many others as warm both up",
  warmUps: 0,
  aims: [
    { figure: "rate", over: "bare node: read, PUT, remove", least: 0.7, or: 3000 },
    { figure: "cpu", most: 600 }
  ],
  prepare: async (_scope, isShort) => {
    const [count, before] = isShort ? [4000, 4000] : [10_000, 20_000]
    return { here: drained(count, before), "bare node: read, PUT, remove": drainedByBareNode(count, before) }
  }
}

const waiting = {
  name: "growth-outbox",
  what: "the same, by how many wait",
  warmUps: 0,
  rounds: 1,
  aims: [
    { figure: "cpu", of: "10,000 waiting", over: "100 waiting", most: 1.5 },
    { figure: "cpu", of: "100,000 waiting", over: "100 waiting", most: 1.5 }
  ],
  prepare: async (_scope, isShort) =>
    Object.fromEntries(
      (isShort ? [100, 1000] : [100, 10_000, 100_000]).map((count) => [
        `${count.toLocaleString("en-US")} waiting`,
        drained(count)
      ])
    )
}

const large = {
  name: "large",
  what: "an upload of 1 GiB, verified and on the disk",
  aims: [
    { figure: "speed", over: "openssl sha512, cp, sync", least: 0.9 },
    { figure: "memory", most: 80 }
  ],
  rounds: 3,
  warmUps: 0,
  prepare: async (scope, isShort) => {
    const size = (isShort ? 128 : 1024) * 1024 * 1024
    const directory = newFolder()
    const file = join(directory, "large")
    const keyFile = join(directory, "key.pem")
    execFileSync("sh", ["-c", 'head -c "$1" /dev/urandom > "$2"', "sh", String(size), file])
    writeFileSync(keyFile, sharing.privateKey.export({ type: "pkcs8", format: "pem" }))
    const signature = execFileSync("openssl", ["dgst", "-sha512", "-sign", keyFile, file]).toString(
      "base64url"
    )
    const here = scope(await relay(list))
    const before = memory(here.pid, "VmRSS")
    const path = `/shared-files/node/n1/large?source-uuid=n0&public-key=${sharing.key}&signature=${signature}`
    const byHand = script(
      "byhand",
      'openssl sha512 "$1" > "$1.hash"; cp "$1" "$1.copy"; sync "$1.copy"; rm "$1.copy"'
    )
    const speed = async (run) => ({ speed: size / 1e6 / (await timed(run)) })
    return {
      here: async () => ({
        ...(await speed(() =>
          execFileSync("curl", ["-fsS", "-T", file, "-X", "POST", "-o", "/dev/null", `${here.url}${path}`])
        )),
        memory: memory(here.pid, "VmHWM") - before
      }),
      "openssl sha512, cp, sync": () => speed(() => execFileSync(byHand, [file]))
    }
  }
}

export default [small, accept, drain, waiting, large]
