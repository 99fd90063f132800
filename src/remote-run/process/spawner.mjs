// Starts agents for the relay: a process of its own, since starting one means copying the page tables of who starts
// it, which takes a process of the relay's size several milliseconds, and holds up everything else meanwhile.
//
// Told over node's IPC channel: {id, program, parameters, environment, stdout, stderr}, the last two paths of FIFOs.
// Tells {id, pid}, later {id, exit: {code, signal}}; or {id, failure: {code, syscall, message}}.
import { spawn } from "node:child_process"
import { closeSync, constants, openSync } from "node:fs"

// Ctrl-C on the relay's terminal, or a signal to its whole group, is the relay's to answer.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => {})
process.on("disconnect", () => process.exit(0))

const tell = (message) => {
  if (process.connected) process.send(message)
}

const failure = (id, { code, syscall, message }) => tell({ id, failure: { code, syscall, message } })

process.on("message", ({ id, program, parameters, environment, stdout, stderr }) => {
  const ends = []
  try {
    for (const path of [stdout, stderr]) ends.push(openSync(path, constants.O_WRONLY))
    const child = spawn(program, parameters, {
      stdio: ["ignore", ...ends],
      detached: true,
      cwd: "/",
      env: { ...process.env, ...environment }
    })
    child.once("error", (error) => failure(id, error))
    child.once("exit", (code, signal) => tell({ id, exit: { code, signal } }))
    if (child.pid !== undefined) tell({ id, pid: child.pid })
  } catch (error) {
    failure(id, error)
  } finally {
    for (const end of ends) closeSync(end)
  }
})
