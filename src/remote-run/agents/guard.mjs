// Ends the agents that a relay leaves which was killed. What has started them starts this: see `starter.pl`.
//
// Its arguments are the grace between SIGTERM and SIGKILL, in milliseconds, and of each agent, with colons between them,
// the process id of its leader, its cookie, and its mark, which may be empty.
import { readdirSync, readFileSync } from "node:fs"

// What a list of processes shows.
process.title = "rudder-relay-spawner"

// By SIGUSR1 node would open its debugger.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM"])
  process.on(signal, () => {})

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

const [grace, ...given] = process.argv.slice(1)
const agents = new Map()
for (const one of given) {
  const [pid, cookie, mark] = one.split(":")
  agents.set(Number(pid), { cookie, mark: mark === "" ? undefined : Number(mark) })
}
const members = membersOf(agents)
let begun
const told = { SIGTERM: new Map(), SIGKILL: new Map() }
const look = () => {
  const left = members()
  // The grace begins with the first signal: on a busy machine the look before it may take as long as all of the grace.
  begun ??= performance.now()
  const passed = performance.now() - begun
  if (left.length === 0 || passed > Number(grace) + stuckAfter) process.exit(0)
  const name = passed < Number(grace) ? "SIGTERM" : "SIGKILL"
  for (const one of left) if (told[name].get(one.pid) !== one.start) signal(one, name)
  for (const { pid, start } of left) told[name].set(pid, start)
}
look()
setInterval(look, 50)
