// Requests that change nothing.
import { randomBytes } from "node:crypto"
import { readFileSync, statSync, utimesSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { load, request } from "../load.mjs"
import {
  askPath,
  certificate,
  freePort,
  nodes,
  peer,
  reading,
  relay,
  run,
  server,
  sharing,
  uploadPath
} from "../support.mjs"

const content = randomBytes(4096)
const list = nodes(2, sharing.fields)

const kept = async (port, pid, wanted, isShort) => {
  const count = isShort ? 3000 : 15_000
  return reading(count, () => load(port, 32, count, () => wanted), pid)
}

const head = {
  name: "head",
  what: "HEAD of an unchanged shared file, 32 kept connections",
  aims: [
    { figure: "rate", over: "bare node:http", least: 0.6 },
    { figure: "cpu", most: 120 }
  ],
  prepare: async (scope, isShort) => {
    const here = scope(await relay(list))
    const bare = scope(await peer("http"))
    await load(here.port, 1, 1, () => request("POST", uploadPath("n1", "f", content), content))
    const asked = request("HEAD", askPath("n1", "f", content))
    return {
      here: () => kept(here.port, here.pid, asked, isShort),
      "bare node:http": () => kept(bare.port, bare.pid, asked, isShort)
    }
  }
}

const info = {
  name: "info",
  what: "GET system/info, 32 kept connections",
  aims: [{ figure: "rate", over: "bare node:http", least: 0.6 }],
  prepare: async (scope, isShort) => {
    const here = scope(await relay(list))
    const bare = scope(await peer("http"))
    const asked = request("GET", "/rudder/relay-api/system/info")
    return {
      here: () => kept(here.port, here.pid, asked, isShort),
      "bare node:http": () => kept(bare.port, bare.pid, asked, isShort)
    }
  }
}

/** Handshakes a second that two clients of openssl get, each with a small answer. */
const handshakes = async (port, path, options, seconds) => {
  const counts = await Promise.all(
    [1, 2].map(async () => {
      const { stdout } = await run("openssl", [
        "s_time",
        "-connect",
        `127.0.0.1:${port}`,
        ...options,
        "-tls1_3",
        "-time",
        String(seconds),
        "-www",
        path
      ])
      const found = /(\d+) connections in \d+ real seconds/.exec(stdout)
      if (!found) throw new Error(stdout)
      return Number(found[1])
    })
  )
  return counts[0] + counts[1]
}

const handshake = (kind, title) => ({
  name: `handshake-${kind}`,
  what: `a new TLS 1.3 connection for each request, ${title} certificate`,
  aims: [{ figure: "rate", over: "openssl s_server", least: 0.85 }],
  prepare: async (scope, isShort) => {
    const { cert, key } = certificate(kind)
    const here = scope(await relay(list, { tls: `certificate = "${cert}"\nkey = "${key}"` }))
    const port = await freePort()
    const theirs = scope(
      await server(port, "openssl", [
        "s_server",
        "-accept",
        String(port),
        "-cert",
        cert,
        "-key",
        key,
        "-www",
        "-quiet",
        "-tls1_3"
      ])
    )
    const seconds = isShort ? 2 : 4
    const subject = (place, pid, path) => async () => {
      let count = 0
      const figures = await reading(
        1,
        async () => {
          count = await handshakes(place, path, ["-new"], seconds)
        },
        pid
      )
      return { rate: count * figures.rate, ...(pid === undefined ? {} : { cpu: figures.cpu / count }) }
    }
    return {
      here: subject(here.port, here.pid, "/rudder/relay-api/system/info"),
      "openssl s_server": subject(theirs.port, theirs.pid, "/")
    }
  }
})

/** Of a target's files so many are asked for, each so often: work is counted in hundredths of a second. */
const [different, times] = [2000, 4]

/** Files of one target: HEAD of each of some among so many. */
const files = {
  name: "growth-files",
  what: "HEAD of ever other files of one target, by how many it has",
  aims: [
    { figure: "cpu", of: "1,000 files", over: "10 files", most: 1.5 },
    { figure: "cpu", of: "100,000 files", over: "10 files", most: 1.5 }
  ],
  prepare: async (scope, isShort) => {
    const subjects = {}
    for (const count of isShort ? [10, 1000] : [10, 1000, 100_000]) {
      const here = scope(await relay(list))
      await load(here.port, 1, 1, () => request("POST", uploadPath("n1", "f0", content), content))
      copyFiles(`${here.directory}/shared-files/n1/files/n0`, count)
      const step = Math.max(1, Math.floor(count / different))
      const ask = () =>
        load(here.port, 8, times * different, (at) =>
          request("HEAD", askPath("n1", `f${((at % different) * step) % count}`, content))
        )
      // By then each was read once, and V8 has compiled what does it: of so few requests that would be most.
      await ask()
      subjects[`${count.toLocaleString("en-US")} files`] = () => reading(times * different, ask, here.pid)
    }
    return subjects
  }
}

/** More files like the first one, as the relay would have left them, with its times. */
const copyFiles = (folder, count) => {
  const first = ["f0", "f0.metadata"].map((name) => {
    const path = join(folder, name)
    return { end: name.slice(2), bytes: readFileSync(path), ...statSync(path) }
  })
  for (let at = 1; at < count; at++)
    for (const { atime, bytes, end, mtime } of first) {
      const path = join(folder, `f${at}${end}`)
      writeFileSync(path, bytes)
      utimesSync(path, atime, mtime)
    }
}

export default [head, info, handshake("rsa", "RSA 4096"), handshake("ecdsa", "ECDSA P-256"), files]
