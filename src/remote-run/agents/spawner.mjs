// Starts agents for the relay where there is no perl: as `starter.pl` does, where it says why, but slower.
//
// The relay has this text in it, and gives it to node as an argument. What is said on stdin and stdout: see
// `SpawnerProtocol.ts`.
import { spawn } from "node:child_process"
import { closeSync, constants as flags, openSync, readFileSync, writeFileSync } from "node:fs"
import { constants } from "node:os"

// What a list of processes shows.
process.title = "rudder-relay-spawner"

// Ctrl-C on the relay's terminal, or a signal to its whole group, is the relay's to answer.
// By SIGUSR1 node would open its debugger.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM"])
  process.on(signal, () => {})

/** To be told together: a message costs as much as what it says. */
let answers = ""
const tell = (answer) => {
  if (answers === "")
    setImmediate(() => {
      process.stdout.write(answers)
      answers = ""
    })
  answers += `${answer}\n`
}

const failure = (id, { errno = 0, syscall = "spawn" }) => tell(`F ${id} ${Math.abs(errno)} ${syscall}`)

const filterFile = "/proc/self/coredump_filter"

const marked = (mark, start) => {
  if (mark === "") return start()
  const usual = readFileSync(filterFile, "latin1").trim()
  writeFileSync(filterFile, `0x${Number(mark).toString(16)}`)
  try {
    return start()
  } finally {
    writeFileSync(filterFile, `0x${usual}`)
  }
}

/**
 * Opens a FIFO for an agent's output. To open one that nobody reads waits for ever: so the first of three fails then,
 * and while the second is open, which reads too, the third does not wait. The agent gets that one: it blocks while the
 * pipe is full, and breaks when the relay no longer reads.
 */
const openFifo = (path) => {
  const ends = []
  try {
    ends.push(openSync(path, flags.O_WRONLY | flags.O_NONBLOCK))
    ends.push(openSync(path, flags.O_RDWR | flags.O_NONBLOCK))
    return openSync(path, flags.O_WRONLY)
  } finally {
    for (const end of ends) closeSync(end)
  }
}

/** What agents share of their environments. */
let environment = {}
let node = process.execPath
let grace = "0"
let guard = ""

/** Cookies and marks of the agents that run, by the process id of their leader. */
const agents = new Map()

const start = ([id, cookie, mark, stdout, stderr, program, ...parameters]) => {
  const ends = []
  try {
    for (const path of [stdout, stderr]) ends.push(openFifo(path))
    const options = {
      stdio: ["ignore", ...ends],
      detached: true,
      cwd: "/",
      env: { ...environment, LC_RUDDER_RELAY_AGENT: cookie }
    }
    const child = marked(mark, () => spawn(program, parameters, options))
    const { pid } = child
    child.once("error", (error) => failure(id, error))
    child.once("exit", (code, signal) => {
      agents.delete(pid)
      tell(signal === null ? `E ${id} ${code}` : `K ${id} ${constants.signals[signal]}`)
    })
    if (pid === undefined) return
    agents.set(pid, { cookie, mark })
    tell(`S ${id} ${pid}`)
  } catch (error) {
    failure(id, error)
  } finally {
    for (const end of ends) closeSync(end)
  }
}

/** What is to be started: one at a time, so that ends are told meanwhile. */
const orders = []
const startNext = () => {
  const order = orders.shift()
  if (order !== undefined) start(order)
  if (orders.length > 0) setImmediate(startNext)
}

const hear = ([what, ...said]) => {
  if (what === "setup") {
    const [path, milliseconds, text, ...variables] = said
    node = path
    grace = milliseconds
    guard = text
    environment = Object.fromEntries(variables.map((entry) => entry.split(/=(.*)/s, 2)))
    tell("P 0")
  } else if (what === "ping") tell(`P ${said[0]}`)
  else if (what === "guard") agents.set(Number(said[0]), { cookie: said[1], mark: "" })
  else if (what === "release") agents.delete(Number(said[0]))
  else if (orders.push(said) === 1) setImmediate(startNext)
}

let input = Buffer.alloc(0)
process.stdin.on("data", (bytes) => {
  input = input.length === 0 ? bytes : Buffer.concat([input, bytes])
  while (input.length >= 4) {
    const size = input.readUInt32BE(0)
    if (input.length < 4 + size) break
    hear(input.toString("utf8", 4, 4 + size).split("\0"))
    input = input.subarray(4 + size)
  }
})

/** So often a guard is begun: it has handlers for signals once node is up and not before. */
const guards = 20

/** Once the relay is gone: starts the guard, waits for it, and starts it again where a signal ends it before it is done. */
const endAll = (tries = guards) => {
  orders.length = 0
  if (agents.size === 0) process.exit(0)
  const left = Array.from(agents, ([pid, { cookie, mark }]) => `${pid}:${cookie}:${mark}`)
  const parameters = ["--input-type=module", "--eval", guard, grace, ...left]
  const child = spawn(node, parameters, { stdio: ["ignore", "ignore", "inherit"], detached: true, env: {} })
  child.once("error", () => process.exit(1))
  child.once("exit", (_, signal) => (signal !== null && tries > 1 ? endAll(tries - 1) : process.exit(0)))
}

let isOver = false
const over = () => {
  if (!isOver) endAll()
  isOver = true
}
process.stdin.on("error", over).on("close", over)
process.stdout.on("error", over)
