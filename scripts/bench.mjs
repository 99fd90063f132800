// npm run bench: speed as ratios of what is measured in one and the same run, so that they mean something anywhere.
// Everything is on loopback, bounded in count and time.
import { spawn, spawnSync } from "node:child_process"
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { build, install, top } from "./setup.mjs"

install()
build()

const folder = mkdtempSync(join(tmpdir(), "rudder-relay-bench-"))
const script = (name, text) => {
  const file = join(folder, name)
  writeFileSync(file, `#!/bin/sh\n${text}\n`)
  chmodSync(file, 0o755)
  return file
}
const nodes = (count) =>
  Object.fromEntries(
    Array.from({ length: count }, (_, i) => [`n${i}`, { hostname: `n${i}`, "policy-server": "root" }])
  )

/** Serves `count` nodes with this agent while `use` runs. */
const withRelay = async (count, agent, maxConcurrent, use) => {
  writeFileSync(join(folder, "nodes.json"), JSON.stringify(nodes(count)))
  writeFileSync(
    join(folder, "main.conf"),
    `[general]\nnode_id = "root"\nlisten = "127.0.0.1:0"\nnodes_list_file = "${folder}/nodes.json"\n` +
      `[remote_run]\nuse_sudo = false\ncommand = "${agent}"\nmax_concurrent = ${maxConcurrent}\ndirectory = "${folder}/runs"\n`
  )
  const child = spawn(process.execPath, [join(top, "dist/main.js"), "serve", "--config", folder], {
    stdio: ["ignore", "ignore", "pipe"]
  })
  const began = performance.now()
  try {
    const port = await new Promise((resolve, reject) => {
      let log = ""
      child.stderr.on("data", (bytes) => {
        log += bytes
        const found = /message=listening .*address=\S+:(\d+)/.exec(log)
        if (found) resolve(found[1])
      })
      child.once("exit", () => reject(new Error(log)))
    })
    const started = performance.now() - began
    return await use({ url: `http://127.0.0.1:${port}/rudder/relay-api`, pid: child.pid, started })
  } finally {
    const gone = new Promise((resolve) => child.once("exit", resolve))
    child.kill("SIGTERM")
    await gone
  }
}

const get = async (url) => (await fetch(url)).text()
const done = (text) => JSON.parse(text.trimEnd().split("\n").at(-1))
const timed = (run) => {
  const began = performance.now()
  run()
  return (performance.now() - began) / 1000
}
const memory = (pid, name) =>
  Number(new RegExp(`${name}:\\s+(\\d+)`).exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]) / 1024
const row = (what, value) => console.log(`${what.padEnd(58)} ${value}`)

try {
  const sleeper = script("sleeper", "exec sleep 1")
  await withRelay(100, sleeper, 50, async ({ url, started }) => {
    row("start of the program to its first log line", `${started.toFixed(0)} ms`)
    await get(`${url}/remote-run/nodes?nodes=n0`)
    const { duration } = done(await get(`${url}/remote-run/all`))
    row("100 agents of 1 s, 50 at once", `${duration} s = ${(duration / 2).toFixed(3)} × the ideal 2 s`)
  })

  const liner = script("liner", 'echo "a line of $5"')
  const count = 2000
  const xargs = timed(() =>
    spawnSync(
      "sh",
      ["-c", `seq ${count} | xargs -P 50 -I% ${liner} remote run -- n% > ${folder}/xargs.out`],
      { stdio: "inherit" }
    )
  )
  await withRelay(count, liner, 50, async ({ url, pid }) => {
    await get(`${url}/remote-run/nodes?nodes=n0`)
    const { duration, ok } = done(await get(`${url}/remote-run/all?output=keep`))
    row(
      `${ok} agents that print one line, 50 at once`,
      `${(ok / duration).toFixed(0)}/s = ${(duration / xargs).toFixed(2)} × the time of xargs -P 50`
    )
    row("highest resident memory", `${memory(pid, "VmHWM").toFixed(0)} MiB`)
  })

  const text = join(folder, "text")
  spawnSync("sh", [
    "-c",
    `yes 'a line of output that is neither short nor long' | head -c 30000000 > ${text}`
  ])
  const printer = script("printer", `exec cat ${text}`)
  const cat = timed(() => spawnSync("sh", ["-c", `cat ${text} | cat > ${folder}/copy; sync ${folder}/copy`]))
  await withRelay(1, printer, 50, async ({ url }) => {
    await get(`${url}/remote-run/nodes?nodes=n0`)
    for (const format of ["raw", "text", "ndjson"]) {
      const began = performance.now()
      const body = await (
        await fetch(`${url}/remote-run/node/n0?output=keep&async=yes&format=${format}`)
      ).arrayBuffer()
      const seconds = (performance.now() - began) / 1000
      row(
        `30 MB of output to a client, ${format} (${(body.byteLength / 1e6).toFixed(0)} MB)`,
        `${(30 / seconds).toFixed(0)} MB/s = ${(seconds / cat).toFixed(1)} × the time of cat | cat, sync`
      )
    }
  })

  await withRelay(100_000, liner, 50, async ({ url, pid, started }) => {
    row("start with 100,000 nodes", `${started.toFixed(0)} ms, ${memory(pid, "VmRSS").toFixed(0)} MiB`)
    const requests = 2000
    const began = performance.now()
    for (let i = 0; i < requests; i += 10)
      await Promise.all(Array.from({ length: 10 }, () => get(`${url}/system/info`)))
    row(
      "system/info, 10 at once over kept connections",
      `${((requests / (performance.now() - began)) * 1000).toFixed(0)}/s`
    )
  })
} finally {
  rmSync(folder, { recursive: true, force: true })
}
