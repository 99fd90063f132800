// Starts agents for the relay: a process of its own, since starting one means copying the page tables of who starts
// it, which takes a process of the relay's size several milliseconds, and holds up everything else meanwhile.
//
// Told over node's IPC channel: {id, program, parameters, environment, stdout, stderr, mark?}; `stdout` and `stderr` are
// paths of FIFOs, `mark` is the core dump filter to start it with.
// Tells {id, pid}, later {id, exit: {code, signal}}; or {id, failure: {code, syscall, message}}.
import { spawn } from "node:child_process"
import { closeSync, constants, openSync, readFileSync, writeFileSync } from "node:fs"

// Ctrl-C on the relay's terminal, or a signal to its whole group, is the relay's to answer.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => {})
process.on("disconnect", () => process.exit(0))

const tell = (message) => {
  if (process.connected) process.send(message)
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

process.on("message", ({ id, program, parameters, environment, stdout, stderr, mark }) => {
  const ends = []
  try {
    for (const path of [stdout, stderr]) ends.push(openSync(path, constants.O_WRONLY))
    const options = {
      stdio: ["ignore", ...ends],
      detached: true,
      cwd: "/",
      env: { ...process.env, ...environment }
    }
    const child = marked(mark, () => spawn(program, parameters, options))
    child.once("error", (error) => failure(id, error))
    child.once("exit", (code, signal) => tell({ id, exit: { code, signal } }))
    if (child.pid !== undefined) tell({ id, pid: child.pid })
  } catch (error) {
    failure(id, error)
  } finally {
    for (const end of ends) closeSync(end)
  }
})
