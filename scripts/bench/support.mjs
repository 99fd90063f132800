// A relay to measure, and how figures are shown.
import { spawn } from "node:child_process"
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { top } from "../setup.mjs"

/** Where all that is measured writes. */
export const folder = mkdtempSync(join(tmpdir(), "rudder-relay-bench-"))
export const removeFolder = () => rmSync(folder, { recursive: true, force: true })

/** An executable shell script. */
export const script = (name, text) => {
  const file = join(folder, name)
  writeFileSync(file, `#!/bin/sh\n${text}\n`)
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

/** Serves this list under this configuration while `use` runs. */
export const withRelay = async (list, config, use) => {
  writeFileSync(join(folder, "nodes.json"), JSON.stringify(list))
  writeFileSync(join(folder, "main.conf"), config)
  const child = spawn(process.execPath, [join(top, "dist/main.js"), "serve", "--config", folder], {
    stdio: ["ignore", "ignore", "pipe"]
  })
  const gone = new Promise((resolve) => child.once("exit", resolve))
  const began = performance.now()
  try {
    const port = await new Promise((resolve, reject) => {
      let log = ""
      child.stderr.on("data", (bytes) => {
        log = (log + bytes).slice(-10_000)
        const found = /message=listening .*address=\S+:(\d+)/.exec(log)
        if (found) resolve(found[1])
      })
      child.once("exit", () => reject(new Error(log)))
    })
    const started = performance.now() - began
    return await use({ url: `http://127.0.0.1:${port}/rudder/relay-api`, pid: child.pid, started })
  } finally {
    child.kill("SIGTERM")
    await gone
  }
}

/** Seconds that something takes. */
export const timed = async (run) => {
  const began = performance.now()
  await run()
  return (performance.now() - began) / 1000
}

/** Of a process, in MiB: `VmRSS` now, `VmHWM` at its highest. */
export const memory = (pid, name) =>
  Number(new RegExp(`${name}:\\s+(\\d+)`).exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]) / 1024

export const row = (what, value) => console.log(`${what.padEnd(58)} ${value}`)

/** Does it for each of `count` numbers, so many at once. */
export const many = (count, atOnce, one) => {
  let next = 0
  const worker = async () => {
    while (next < count) await one(next++)
  }
  return Promise.all(Array.from({ length: atOnce }, worker))
}
