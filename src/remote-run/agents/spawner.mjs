// Starts agents for the relay: a process of its own, since starting one means copying the page tables of who starts
// it, which takes a process of the relay's size several milliseconds, and holds up everything else meanwhile.
//
// It also outlives the relay for as long as it takes to end the agents that a relay leaves which was killed.
//
// The relay has this text in it, and gives it to node by stdin.
//
// Its argument is the grace between SIGTERM and SIGKILL, in milliseconds. Told over node's IPC channel, several at once:
// - {id, program, parameters, environment, cookie, stdout, stderr, mark?}: start it; `stdout` and `stderr` are paths of
//   FIFOs, `environment` has the cookie, `mark` is the core dump filter to start it with;
// - {guard: pid, cookie}: an agent that another process has started; {release: pid}: no more.
// Tells, several at once, {id, pid}, later {id, exit: {code, signal}}; or {id, failure: {code, syscall, message}}.
import { spawn } from "node:child_process"
import { closeSync, constants, openSync, readdirSync, readFileSync, writeFileSync } from "node:fs"

// What a list of processes shows.
process.title = "rudder-relay-spawner"

// Ctrl-C on the relay's terminal, or a signal to its whole group, is the relay's to answer.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => {})

/** To be told together: a message costs as much as what it says. */
let answers = []
const send = () => {
  // Where nobody listens any more, "disconnect" says so.
  if (process.connected) process.send(answers, () => {})
  answers = []
}
const tell = (answer) => {
  if (answers.push(answer) === 1) setImmediate(send)
}

const failure = (id, { code, syscall, message }) => tell({ id, failure: { code, syscall, message } })

const filterFile = "/proc/self/coredump_filter"

const marked = (mark, start) => {
  if (mark === undefined) return start()
  const usual = readFileSync(filterFile, "latin1").trim()
  writeFileSync(filterFile, `0x${mark.toString(16)}`)
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
    ends.push(openSync(path, constants.O_WRONLY | constants.O_NONBLOCK))
    ends.push(openSync(path, constants.O_RDWR | constants.O_NONBLOCK))
    return openSync(path, constants.O_WRONLY)
  } finally {
    for (const end of ends) closeSync(end)
  }
}

/** What agents share of their environments. */
const environmentOfAll = { ...process.env }

/** Cookies and marks of the agents that run, by the process id of their leader. */
const agents = new Map()

const start = ({ id, program, parameters, environment, cookie, stdout, stderr, mark }) => {
  const ends = []
  try {
    for (const path of [stdout, stderr]) ends.push(openFifo(path))
    const options = {
      stdio: ["ignore", ...ends],
      detached: true,
      cwd: "/",
      env: { ...environmentOfAll, ...environment }
    }
    const child = marked(mark, () => spawn(program, parameters, options))
    const { pid } = child
    child.once("error", (error) => failure(id, error))
    child.once("exit", (code, signal) => {
      agents.delete(pid)
      tell({ id, exit: { code, signal } })
    })
    if (pid === undefined) return
    agents.set(pid, { cookie, mark })
    tell({ id, pid })
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

const hear = (message) => {
  if (message.guard !== undefined) agents.set(message.guard, { cookie: message.cookie })
  else if (message.release !== undefined) agents.delete(message.release)
  else if (orders.push(message) === 1) setImmediate(startNext)
}

process.on("message", (messages) => messages.forEach(hear))

const read = (pid, name) => {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "latin1")
  } catch {
    return ""
  }
}

/** The processes of this machine that live. */
const processes = () =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      const stat = read(name, "stat")
      const [state, parent, , session, ...rest] = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
      if (stat === "" || state === "Z" || state === "X") return []
      return [{ pid: Number(name), parent: Number(parent), session: Number(session), start: rest[15] }]
    })

/** Gives, each time, who lives of the agents that ran: by descent, by session, by cookie or mark, or as one that was given before. */
const membersOf = (agents) => {
  const cookies = new Set(Array.from(agents.values(), ({ cookie }) => cookie))
  const marks = new Set(Array.from(agents.values(), ({ mark }) => mark))
  const controlGroup = read("self", "cgroup")
  // No other process of this service has a mark that is in use.
  const hasMark = ({ pid }) =>
    marks.has(Number.parseInt(read(pid, "coredump_filter"), 16)) && read(pid, "cgroup") === controlGroup
  const known = new Map()
  const hasCookie = ({ pid }) =>
    read(pid, "environ")
      .split("\0")
      .some((entry) => entry.startsWith("LC_RUDDER_RELAY_AGENT=") && cookies.has(entry.split("=")[1]))
  return () => {
    const table = processes()
    const members = table.filter(
      (one) =>
        known.get(one.pid) === one.start ||
        agents.has(one.pid) ||
        agents.has(one.session) ||
        hasCookie(one) ||
        hasMark(one)
    )
    for (const { pid } of members)
      for (const one of table) if (one.parent === pid && !members.includes(one)) members.push(one)
    for (const { pid, start } of members) known.set(pid, start)
    return members
  }
}

const signal = ({ pid }, name) => {
  try {
    process.kill(pid, name)
  } catch {
    // Gone, or not ours to end.
  }
}

/** How long a killed process is waited for that does not go. Milliseconds. */
const stuckAfter = 2000

/** Ends the agents of a relay that is gone, and then this process. */
const endAll = () => {
  orders.length = 0
  if (agents.size === 0) process.exit(0)
  const grace = Number(process.argv[2])
  const members = membersOf(new Map(agents))
  const begun = performance.now()
  const told = { SIGTERM: new Map(), SIGKILL: new Map() }
  const look = () => {
    const left = members()
    const passed = performance.now() - begun
    if (left.length === 0 || passed > grace + stuckAfter) process.exit(0)
    const name = passed < grace ? "SIGTERM" : "SIGKILL"
    for (const one of left) if (told[name].get(one.pid) !== one.start) signal(one, name)
    for (const { pid, start } of left) told[name].set(pid, start)
  }
  look()
  setInterval(look, 50)
}

process.on("disconnect", endAll)
// It may have been gone before anybody listened.
if (!process.connected) process.exit(0)
