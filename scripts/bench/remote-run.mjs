// Remote runs, beside `xargs -P` and `cat`.
import { spawnSync } from "node:child_process"
import { join } from "node:path"
import { folder, memory, nodes, row, script, timed, withRelay } from "./support.mjs"

const agents = (count, agent, use) =>
  withRelay(
    nodes(count),
    `[general]\nnode_id = "root"\nlisten = "127.0.0.1:0"\nnodes_list_file = "${folder}/nodes.json"\n` +
      `[remote_run]\nuse_sudo = false\ncommand = "${agent}"\nmax_concurrent = 50\ndirectory = "${folder}/runs"\n`,
    use
  )

const get = async (url) => (await fetch(url)).text()
const done = (text) => JSON.parse(text.trimEnd().split("\n").at(-1))

export const remoteRun = async () => {
  const sleeper = script("sleeper", "exec sleep 1")
  await agents(100, sleeper, async ({ url, started }) => {
    row("start of the program to its first log line", `${started.toFixed(0)} ms`)
    await get(`${url}/remote-run/nodes?nodes=n0`)
    const { duration } = done(await get(`${url}/remote-run/all`))
    row("100 agents of 1 s, 50 at once", `${duration} s = ${(duration / 2).toFixed(3)} × the ideal 2 s`)
  })

  const liner = script("liner", 'echo "a line of $5"')
  const count = 2000
  const xargs = await timed(() =>
    spawnSync(
      "sh",
      ["-c", `seq ${count} | xargs -P 50 -I% ${liner} remote run -- n% > ${folder}/xargs.out`],
      { stdio: "inherit" }
    )
  )
  await agents(count, liner, async ({ url, pid }) => {
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
  const cat = await timed(() =>
    spawnSync("sh", ["-c", `cat ${text} | cat > ${folder}/copy; sync ${folder}/copy`])
  )
  await agents(1, printer, async ({ url }) => {
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

  await agents(100_000, liner, async ({ url, pid, started }) => {
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
}
