// What rows are measured with: a relay, folders, keys, and what a process has worked.
import { execFile, execFileSync, spawn, spawnSync } from "node:child_process"
import { createHash, createPublicKey, generateKeyPairSync, sign } from "node:crypto"
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { connect, createServer } from "node:net"
import { constants, tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { top } from "../setup.mjs"

// Node reads these at each start, before it runs anything: with all of a system's authorities that is as much as to start
// node. No service has it in its environment, and nothing here asks another machine.
delete process.env.NODE_EXTRA_CA_CERTS

/** Where all that is measured writes; undefined until something is. */
let root

/**
 * On ext4 a new file costs a millisecond more where files near it on the disk were removed within minutes, by whomever: so
 * each folder in this one gets a part of the disk of its own, as folders at the top of a disk do.
 */
const makeRoot = () => {
  const path = mkdtempSync(join(tmpdir(), "rudder-relay-bench-"))
  spawnSync("chattr", ["+T", path], { stdio: "ignore" })
  return path
}

let folders = 0
/** A new folder. */
export const newFolder = () => {
  root ??= makeRoot()
  const path = join(root, String(++folders))
  mkdirSync(path)
  return path
}

/** An executable script. */
export const script = (name, text, interpreter = "/bin/sh") => {
  const file = join(newFolder(), name)
  writeFileSync(file, `#!${interpreter}\n${text}\n`)
  chmodSync(file, 0o755)
  return file
}

/** Nodes `n0`, `n1`, … of root, each with these fields besides. */
export const nodes = (count, fields = {}) =>
  Object.fromEntries(
    Array.from({ length: count }, (_, i) => [
      `n${i}`,
      { hostname: `n${i}`, "policy-server": "root", ...fields }
    ])
  )

/** A port that is free now. */
export const freePort = async () => {
  const server = createServer().listen(0, "127.0.0.1")
  await new Promise((resolve) => server.once("listening", resolve))
  const { port } = server.address()
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** The processes that were started, and have not ended. */
const underWay = new Set()

/** A process, and the promise of its end. */
const running = (start) => {
  if (ending !== undefined) throw new Error("the bench is at its end")
  const child = start()
  const gone = new Promise((resolve) => {
    child.once("exit", resolve)
    child.once("error", resolve)
  })
  const process_ = { child, gone }
  underWay.add(process_)
  gone.then(() => underWay.delete(process_))
  return process_
}

const askToEnd = async ({ child, gone }) => {
  child.kill("SIGTERM")
  const hard = setTimeout(() => child.kill("SIGKILL"), 20_000)
  await gone
  clearTimeout(hard)
}

/** Asks once: a relay that is told to stop twice does not tidy up. */
const stop = (process_) => {
  process_.stopped ??= askToEnd(process_)
  return process_.stopped
}

const endAll = async () => {
  await Promise.all([...underWay].map(stop))
  // Again where the descendants of what was ended still write into it.
  if (root !== undefined) rmSync(root, { recursive: true, force: true, maxRetries: 5 })
}

let ending
/** Ends the processes that were started, and removes all that was written: nothing can be started any more. */
export const end = () => {
  ending ??= endAll()
  return ending
}

/** Has this process do that before a signal ends it. */
export const endAtSignals = () => {
  // Each time: of Ctrl-C there come two, from the terminal and from npm.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"])
    process.on(signal, () => {
      if (ending !== undefined) return
      // What is measured fails by that, which is of no interest any more.
      process.on("uncaughtException", () => {})
      end().then(
        () => process.exit(128 + constants.signals[signal]),
        (error) => {
          console.error(error)
          process.exit(1)
        }
      )
    })
}

/** Which relay is measured: the program as it is built here, unless another one is said. */
const programs = { main: join(top, "dist/main.cjs") }
export const measureProgram = (path) => {
  programs.main = path
}

/**
 * Starts a relay and waits until it listens.
 * @param list its nodes list
 * @param config more of main.conf, by section; each a text
 * @returns `url`, `port`, `pid`, `directory` (its folder), `started` (milliseconds to the line that says that it
 * listens) and `stop`
 */
export const relay = async (list, config = {}, { directory = newFolder(), port = 0 } = {}) => {
  const { general = "", remote_run = "", shared_files = "", tls, upstream, more = "" } = config
  writeFileSync(join(directory, "nodes.json"), JSON.stringify(list))
  writeFileSync(
    join(directory, "main.conf"),
    `[general]\n${general.includes("node_id") ? "" : 'node_id = "root"\n'}listen = "127.0.0.1:${port}"
nodes_list_file = "${directory}/nodes.json"\n${general}
[remote_run]\nuse_sudo = false\ndirectory = "${directory}/runs"\n${remote_run.includes("command") ? "" : 'command = "/bin/true"\n'}${remote_run}
[shared_files]\npath = "${directory}/shared-files"\noutbox = "${directory}/outbox"\n${shared_files}
${tls === undefined ? "" : `[tls]\n${tls}\n`}${upstream === undefined ? "" : `[output.upstream]\n${upstream}\n`}${more}`
  )
  const began = performance.now()
  const process_ = running(() =>
    spawn(process.execPath, [programs.main, "serve", "--config", directory], {
      stdio: ["ignore", "ignore", "pipe"],
      // Out of reach of the terminal's Ctrl-C: it is told to stop here, once.
      detached: true
    })
  )
  const { child } = process_
  const bound = await new Promise((resolve, reject) => {
    let log = ""
    child.stderr.on("data", function read(bytes) {
      log = (log + bytes).slice(-10_000)
      const found = /message=listening .*address=\S+:(\d+)/.exec(log)
      if (!found) return
      // What else it says is not looked at: that would be work of this process, next to what is measured.
      child.stderr.off("data", read).resume()
      resolve(Number(found[1]))
    })
    child.once("exit", () => reject(new Error(log)))
  })
  const started = performance.now() - began
  const scheme = tls === undefined ? "http" : "https"
  return {
    url: `${scheme}://127.0.0.1:${bound}/rudder/relay-api`,
    port: bound,
    pid: child.pid,
    directory,
    began,
    started,
    stop: () => stop(process_)
  }
}

const peersFolder = fileURLToPath(new URL("peers", import.meta.url))

/** Where one of the programs in `peers` is. */
export const peerFile = (name) => join(peersFolder, `${name}.mjs`)

const runToItsEnd = promisify(execFile)

/** Runs a program and gives what it printed. */
export const run = async (...args) => {
  let printed
  running(() => {
    printed = runToItsEnd(...args)
    return printed.child
  })
  return printed
}

/** Starts one of the programs in `peers`, which print their port. */
export const peer = async (name, ...args) => {
  const process_ = running(() =>
    spawn(process.execPath, [peerFile(name), ...args], { stdio: ["ignore", "pipe", "inherit"] })
  )
  const port = await new Promise((resolve, reject) => {
    process_.child.stdout.once("data", (bytes) => resolve(Number(String(bytes))))
    process_.child.once("exit", () => reject(new Error(`${name} did not start`)))
  })
  return { port, pid: process_.child.pid, stop: () => stop(process_) }
}

/** Starts a server that says nothing when it is ready, and waits until its port answers. */
export const server = async (port, command, args) => {
  const process_ = running(() => spawn(command, args, { stdio: "ignore" }))
  await untilAnswered(port)
  return { port, pid: process_.child.pid, stop: () => stop(process_) }
}

const untilAnswered = async (port) => {
  const answered = () =>
    new Promise((resolve) => {
      const socket = connect(port, "127.0.0.1", () => resolve(true) || socket.destroy())
      socket.once("error", () => resolve(false))
    })
  for (let tries = 0; tries < 500; tries++) {
    if (await answered()) return
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  throw new Error(`nothing listens on ${port}`)
}

/** nginx, one worker, as a server that takes files by PUT. */
export const nginx = async () => {
  const directory = newFolder()
  const port = await freePort()
  mkdirSync(join(directory, "dav/temp"), { recursive: true })
  chmodSync(join(directory, "dav/temp"), 0o777)
  writeFileSync(
    join(directory, "nginx.conf"),
    `user root; worker_processes 1; daemon off; pid ${directory}/nginx.pid; error_log ${directory}/nginx.log;
events {} http { access_log off; client_body_temp_path ${directory}/dav/temp; client_max_body_size 0;
server { listen 127.0.0.1:${port}; root ${directory}/dav; keepalive_requests 1000000;
location / { dav_methods PUT; create_full_put_path on; } } }`
  )
  const found = await server(port, "nginx", ["-c", join(directory, "nginx.conf")])
  return { ...found, root: join(directory, "dav") }
}

const stat = (pid) => {
  const text = readFileSync(`/proc/${pid}/stat`, "utf8")
  const fields = text.slice(text.lastIndexOf(") ") + 2).split(" ")
  return { parent: Number(fields[1]), ticks: Number(fields[11]) + Number(fields[12]) }
}

/** The processes that a process has started: of the relay these are its own helpers, which start the agents. */
const helpers = (pid) =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8")
    .trim()
    .split(" ")
    .filter((child) => child !== "")

/** What a process has worked so far, its threads and helpers with it. Seconds of CPU, to a hundredth. */
export const worked = (pid) => {
  const own = stat(pid).ticks
  return [own, ...helpers(pid).map((child) => stat(child).ticks)].reduce((sum, ticks) => sum + ticks) / 100
}

/** Of a process, in MiB: `VmRSS` now, `VmHWM` at its highest. */
export const memory = (pid, name) =>
  Number(new RegExp(`${name}:\\s+(\\d+)`).exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]) / 1024

/**
 * A reading of something that is done `items` times.
 * @param pid whose work is counted
 * @returns `rate` (items a second) and `cpu` (microseconds of work an item, where there is a pid)
 */
export const reading = async (items, run, pid) => {
  const before = pid === undefined ? 0 : worked(pid)
  const seconds = await timed(run)
  return {
    rate: items / seconds,
    ...(pid === undefined ? {} : { cpu: ((worked(pid) - before) / items) * 1e6 })
  }
}

/** Seconds that something takes. */
export const timed = async (run) => {
  const began = performance.now()
  await run()
  return (performance.now() - began) / 1000
}

export const get = async (url) => (await fetch(url)).text()
/** The last event of a run's answer. */
export const done = (text) => JSON.parse(text.trimEnd().split("\n").at(-1))

export const sleep = (millis) => new Promise((resolve) => setTimeout(resolve, millis))

const pair = generateKeyPairSync("rsa", { modulusLength: 2048 })
const publicKey = createPublicKey(pair.privateKey)
const keyHash = createHash("sha256").update(publicKey.export({ type: "spki", format: "der" }))

/** The key of the node that shares files. */
export const sharing = {
  privateKey: pair.privateKey,
  fields: { "key-hash": `sha256//${keyHash.digest("base64")}` },
  key: publicKey.export({ type: "pkcs1", format: "der" }).toString("base64url")
}

/** The path under which a file of `n0` with this content is sent. */
export const uploadPath = (target, name, content) =>
  `/rudder/relay-api/shared-files/node/${target}/${name}?source-uuid=n0&public-key=${sharing.key}&signature=${sign("sha512", content, sharing.privateKey).toString("base64url")}`

/** The path under which it is asked for. */
export const askPath = (target, name, content) =>
  `/rudder/relay-api/shared-files/node/${target}/${name}?source-uuid=n0&hash=${createHash("sha512").update(content).digest("hex")}`

/** A self-signed certificate with its key. */
export const certificate = (kind) => {
  const directory = newFolder()
  const [cert, key] = [join(directory, "cert.pem"), join(directory, "key.pem")]
  const algorithm = kind === "ecdsa" ? ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"] : ["rsa:4096"]
  execFileSync(
    "openssl",
    [
      "req",
      "-x509",
      "-newkey",
      ...algorithm,
      "-nodes",
      "-days",
      "2",
      "-subj",
      "/UID=root/CN=localhost",
      "-keyout",
      key,
      "-out",
      cert
    ],
    { stdio: "ignore" }
  )
  return { cert, key }
}
