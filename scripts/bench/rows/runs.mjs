// Remote runs.
import { execFileSync, spawnSync } from "node:child_process"
import { join } from "node:path"
import { load, request } from "../load.mjs"
import {
  certificate,
  done,
  get,
  memory,
  newFolder,
  nodes,
  peerFile,
  reading,
  relay,
  run,
  script,
  sleep,
  timed
} from "../support.mjs"

const options = (agent) => ({ remote_run: `command = "${agent}"\nmax_concurrent = 50\n` })

const liner = {
  name: "agents",
  what: "1,000 agents that print a line, 50 at once, while others ask for system/info",
  aims: [
    { figure: "rate", over: "bare child_process loop", least: 0.9 },
    { figure: "rate", over: "clush", least: 1.8 },
    { figure: "cpu", most: 800 },
    { figure: "median", most: 10 }
  ],
  prepare: async (scope, isShort) => {
    const count = isShort ? 300 : 1000
    const agent = script("liner", 'echo "a line of $5"')
    const here = scope(await relay(nodes(count), options(agent)))
    const perSecond = async (start) => ({ rate: count / (await timed(start)) })
    return {
      here: async () => {
        const delays = []
        let isOver = false
        const others = (async () => {
          while (!isOver) {
            const began = performance.now()
            await load(here.port, 1, 1, () => request("GET", "/rudder/relay-api/system/info"))
            delays.push(performance.now() - began)
            await sleep(20)
          }
        })()
        const figures = await reading(count, () => get(`${here.url}/remote-run/all?output=keep`), here.pid)
        isOver = true
        await others
        delays.sort((a, b) => a - b)
        return { ...figures, median: delays[delays.length >> 1] }
      },
      "bare child_process loop": async () => {
        const { stdout } = await run(process.execPath, [peerFile("agents"), agent, String(count), "50"])
        const { cpu, seconds } = JSON.parse(stdout)
        return { rate: count / seconds, cpu }
      },
      clush: () =>
        perSecond(() =>
          run(
            "clush",
            ["-q", "-R", "exec", "-f", "50", "-w", `n[0-${count - 1}]`, agent, "remote", "run", "--", "%h"],
            {
              maxBuffer: 64 * 1024 * 1024
            }
          )
        ),
      "xargs -P 50": () =>
        perSecond(() => run("sh", ["-c", `seq ${count} | xargs -P 50 -I% ${agent} remote run -- n%`]))
    }
  }
}

const sleepers = {
  name: "sleepers",
  what: "200 agents of 1 s, 50 at once: 4 s at best",
  warmUps: 0,
  rounds: 3,
  aims: [
    { figure: "time", over: "ideal", most: 1.05 },
    { figure: "time", of: "through a sub-relay over TLS", over: "ideal", most: 1.1 }
  ],
  prepare: async (scope, isShort) => {
    const count = isShort ? 100 : 200
    const agent = script("sleeper", "exec sleep 1")
    const { cert, key } = certificate("rsa")
    const below = nodes(count, { "policy-server": "low" })
    const lower = scope(
      await relay(below, {
        ...options(agent),
        general: 'node_id = "low"\n',
        tls: `certificate = "${cert}"\nkey = "${key}"`,
        upstream: 'base_url = "http://127.0.0.1:1"'
      })
    )
    const upper = scope(
      await relay(
        { ...below, low: { hostname: "localhost", "policy-server": "root" } },
        { general: `https_port = ${lower.port}\npeer_authentication = "dangerous_none"\n` }
      )
    )
    const here = scope(await relay(nodes(count), options(agent)))
    const names = Object.keys(nodes(count)).join(",")
    const time = async (url) => {
      const began = performance.now()
      const text = await get(`${url}/remote-run/nodes?nodes=${names}`)
      const { failed, ok } = done(text)
      if (ok !== count) throw new Error(`${ok} ok, ${failed} failed: ${text.slice(-500)}`)
      return { time: performance.now() - began }
    }
    return {
      here: () => time(here.url),
      "through a sub-relay over TLS": () => time(upper.url),
      ideal: async () => ({ time: (count / 50) * 1000 })
    }
  }
}

const megabytes = 60

const output = {
  name: "output",
  what: `${megabytes} MB of one agent's output to a client`,
  aims: ["text", "ndjson", "raw"].map((format) => ({ figure: "worked", of: format, least: 60 })),
  prepare: async (scope, isShort) => {
    const size = (isShort ? 20 : megabytes) * 1e6
    const text = join(newFolder(), "text")
    spawnSync("sh", [
      "-c",
      `yes 'a line of output that is neither short nor long' | head -c ${size} > ${text}`
    ])
    const here = scope(await relay(nodes(1), options(script("printer", `exec cat ${text}`))))
    const subject = (format) => async () => {
      const { cpu, rate } = await reading(
        1,
        async () => {
          const answer = await fetch(`${here.url}/remote-run/node/n0?output=keep&async=yes&format=${format}`)
          for await (const _ of answer.body);
        },
        here.pid
      )
      return { speed: (size / 1e6) * rate, worked: size / 1e6 / (cpu / 1e6) }
    }
    return {
      text: subject("text"),
      ndjson: subject("ndjson"),
      raw: subject("raw"),
      "cat | cat, sync": async () => ({
        speed:
          size /
          1e6 /
          (await timed(() =>
            execFileSync("sh", ["-c", `cat ${text} | cat > ${text}.copy; sync ${text}.copy`])
          ))
      })
    }
  }
}

/** The 99th of a hundred. */
const p99 = (numbers) => numbers.sort((a, b) => a - b)[Math.floor(numbers.length * 0.99)]

const lines = {
  name: "lines",
  what: "from a line that an agent prints to its caller, 50 agents with 20 lines a second each, once all of them print",
  aims: [{ figure: "delay", over: "a pipe", difference: true, most: 5 }],
  rounds: 3,
  prepare: async (scope) => {
    const agent = script(
      "printer",
      'use Time::HiRes qw(time sleep); $| = 1; sleep(rand(0.05)); for (1..60) { printf "%s %.6f\\n", $_ > 20 ? "at" : "up", time(); sleep 0.05 }',
      "/usr/bin/perl"
    )
    const here = scope(await relay(nodes(50), options(agent)))
    return {
      here: async () => {
        const delays = []
        const answer = await fetch(`${here.url}/remote-run/all?output=keep&async=yes&format=text`)
        let rest = ""
        const decoder = new TextDecoder()
        for await (const bytes of answer.body) {
          const now = performance.timeOrigin + performance.now()
          const found = (rest + decoder.decode(bytes, { stream: true })).split("\n")
          rest = found.pop() ?? ""
          for (const line of found) {
            const at = /^n\d+:at ([\d.]+)/.exec(line)
            if (at) delays.push(now - Number(at[1]) * 1000)
          }
        }
        return { delay: p99(delays) }
      },
      "a pipe": async () => {
        const { stdout } = await run(process.execPath, [peerFile("lines"), agent, "50"], {
          maxBuffer: 64 * 1024 * 1024
        })
        return { delay: p99(JSON.parse(stdout)) }
      }
    }
  }
}

const growth = {
  name: "growth-nodes",
  what: "a run of agents that print a line, by how many nodes it has; memory is the relay's highest",
  warmUps: 0,
  rounds: 1,
  aims: [
    { figure: "cpu", of: "1,000 nodes", over: "100 nodes", most: 1.2 },
    { figure: "cpu", of: "10,000 nodes", over: "100 nodes", most: 1.2 },
    { figure: "memory", of: "10,000 nodes", most: 180 }
  ],
  prepare: async (scope, isShort) => {
    const agent = script("liner", 'echo "a line of $5"')
    const subjects = {}
    for (const count of isShort ? [100, 1000] : [100, 1000, 10_000]) {
      const here = scope(await relay(nodes(count), options(agent)))
      // What node compiles with the first thousands of agents is no run's, however many nodes that has.
      for (let at = 0; at < (isShort ? 500 : 5000); at += 100)
        await get(`${here.url}/remote-run/nodes?nodes=${Object.keys(nodes(100)).join(",")}`)
      // A hundred agents are less work than can be read off to a tenth.
      const runs = Math.max(1, 1000 / count)
      const all = async () => {
        for (let run = 0; run < runs; run++) await get(`${here.url}/remote-run/all?output=keep`)
      }
      subjects[`${count.toLocaleString("en-US")} nodes`] = async () => {
        const figures = await reading(count * runs, all, here.pid)
        return { ...figures, memory: memory(here.pid, "VmRSS") }
      }
    }
    return subjects
  }
}

export default [liner, sleepers, output, lines, growth]
