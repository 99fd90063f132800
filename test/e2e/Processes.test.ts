/** What is left of an agent: nothing; and how the program itself ends. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, describe, expect, it } from "vitest"
import { until } from "../support/Until.ts"
import { cleanUp, curl, events, nodes, processesWith, start } from "./support/Program.ts"

afterEach(cleanUp)

/** A number of seconds that no other process sleeps for: the mark of this test's processes. */
const mark = () => `${100_000 + Math.floor(Math.random() * 1e9)}`

/** An agent with children and grandchildren of every kind; some ignore SIGTERM, some leave the group. */
const family = (seconds: string) => `
(trap '' TERM; sleep ${seconds}; sleep ${seconds}) &
setsid sh -c 'sleep ${seconds}' &
(setsid sh -c '(sleep ${seconds} &) ; sleep ${seconds}' > /dev/null 2>&1 &)
echo started
`

const gone = (seconds: string) =>
  until("no process of the agent is left", async () => (await processesWith(`sleep ${seconds}`)).length === 0)

/** The process of a relay's that starts its agents. */
const spawnerOf = (pid: number) =>
  until("it starts agents by another process", () =>
    readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8")
      .split(" ")
      .map(Number)
      .find((child) => {
        try {
          return readFileSync(`/proc/${child}/cmdline`, "utf8").includes("rudder-relay-spawner")
        } catch {
          return false
        }
      })
  )

/** Folders in the temporary one that relays of these process ids made. */
const foldersOf = (pids: ReadonlyArray<number>) =>
  readdirSync(tmpdir()).filter((name) => pids.some((pid) => name.startsWith(`rudder-relay-fifos-${pid}-`)))

describe("what an agent leaves behind when it ends by itself", () => {
  it("goes on: in its session or another, holding the output or not, also over the end of the relay", async () => {
    const seconds = mark()
    const relay = await start({
      nodes: nodes(1),
      agent: `
(while [ ! -e ticks ]; do sleep 0.1; done; echo tick; sleep ${seconds}; :) &
sleep ${seconds} & setsid sleep ${seconds} &
setsid sleep ${seconds} >/dev/null 2>&1 &
echo over`,
      config: { remote_run: { kill_grace: "100ms" } }
    })
    const { body } = await curl(`${relay.url}/remote-run/node/n0?output=keep`)
    expect(events(body).find(({ event }) => event === "end")).toMatchObject({ code: 0 })
    expect(body).toContain("n0:over")
    expect((await curl(`${relay.url}/remote-run/node/n0?output=keep`)).body).toContain("n0:over")
    expect(await relay.stop()).toBe(0)
    const left = await processesWith(`^sleep ${seconds}`)
    // Those that wait for a file that never comes.
    const loops = await processesWith(join(relay.directory, "agent"))
    for (const pid of [...left, ...loops]) process.kill(pid, "SIGKILL")
    expect(left.length).toBe(6)
    expect(loops.length).toBe(2)
  })
})

describe("a relay that is killed", () => {
  it("takes along what it started, also while it starts 300 nodes; the next start removes its folders", async () => {
    const seconds = mark()
    const killed: Array<number> = []
    let directory: string | undefined
    for (let round = 0; round < 20; round++) {
      const relay = await start({
        ...(directory === undefined ? {} : { directory }),
        nodes: nodes(300),
        agent: `exec sleep ${seconds}`,
        config: { remote_run: { max_concurrent: 300, kill_grace: "1s" } }
      })
      directory = relay.directory
      const spawner = await spawnerOf(relay.pid)
      await curl("-d", "async=yes", `${relay.url}/remote-run/all`)
      const running = Math.floor(Math.random() * 60)
      await until("some run", async () => (await processesWith(`^sleep ${seconds}`)).length >= running)
      relay.kill("SIGKILL")
      await relay.exited
      killed.push(relay.pid)
      await until("what starts agents is gone", () => !existsSync(`/proc/${spawner}`))
      await gone(seconds)
    }
    const last = await start({ ...(directory === undefined ? {} : { directory }), nodes: nodes(1) })
    expect(foldersOf(killed)).toEqual([])
    expect(await last.stop()).toBe(0)
    expect(foldersOf([last.pid])).toEqual([])
  }, 600_000)

  it("ends descendants in other sessions too, and those that are deaf to SIGTERM", async () => {
    const seconds = mark()
    const relay = await start({
      nodes: nodes(2),
      agent: `${family(seconds)} sleep ${seconds}`,
      config: { remote_run: { kill_grace: "300ms" } }
    })
    await curl("-d", "async=yes", `${relay.url}/remote-run/all`)
    await until("both agents run", async () => (await processesWith(`^sleep ${seconds}`)).length >= 10)
    relay.kill("SIGKILL")
    await gone(seconds)
  })
})

describe("when what starts agents is killed", () => {
  it("agents go on to an end that says so, others start at once, and nothing is counted that is not there", async () => {
    const relay = await start({
      nodes: nodes(3),
      agent: `while [ ! -e ${"$"}{0%/*}/go ]; do sleep 0.05; done; echo end`
    })
    const first = curl(`${relay.url}/remote-run/nodes?nodes=n0,n1&output=keep`)
    const status = async () => JSON.parse((await curl(`${relay.url}/system/status`)).body).data.runs
    await until("both run", async () => (await processesWith(`${relay.directory}/agent`)).length >= 2)
    process.kill(await spawnerOf(relay.pid), "SIGKILL")
    const other = curl(`${relay.url}/remote-run/node/n2?output=keep`)
    await until(
      "the other runs too",
      async () => (await processesWith(`${relay.directory}/agent`)).length >= 3
    )
    writeFileSync(join(relay.directory, "go"), "")
    const { body } = await first
    const ends = events(body).filter(({ event }) => event === "end")
    expect(ends.length).toBe(2)
    for (const end of ends) {
      expect(end).toMatchObject({ code: null, error: { _tag: "AgentError" } })
      expect(JSON.stringify(end)).toContain(
        "ended is not known: the process that starts agents has ended (SIGKILL)"
      )
    }
    expect(body).toContain("n0:end")
    expect(events((await other).body).find(({ event }) => event === "end")).toMatchObject({ code: 0 })
    expect(await status()).toMatchObject({ unkillable: 0 })
  })
})

describe("when what starts agents stands still", () => {
  it("a stop ends soon after its grace, says what it waits for, and leaves nothing", async () => {
    const seconds = mark()
    const relay = await start({
      nodes: nodes(2),
      agent: `${family(seconds)} sleep ${seconds}`,
      config: { general: { shutdown_grace: "1s" }, remote_run: { kill_grace: "300ms" } }
    })
    const spawner = await spawnerOf(relay.pid)
    await curl("-d", "async=yes", `${relay.url}/remote-run/node/n0`)
    await until("an agent runs", async () => (await processesWith(`sleep ${seconds}`)).length >= 5)
    process.kill(spawner, "SIGSTOP")
    const order = await curl("-d", "async=yes", `${relay.url}/remote-run/node/n1`)
    expect(order.status).toBe(202)
    await until("the other is on its way", async () =>
      JSON.parse((await curl(`${relay.url}/remote-run/runs`)).body).runs.every(
        ({ running }: { running: number }) => running === 1
      )
    )
    const begun = performance.now()
    expect(await relay.stop()).toBe(0)
    // 1 s, then 5 s for an answer; before it was given up after 30 s at the earliest.
    expect(performance.now() - begun).toBeLessThan(20_000)
    expect(relay.log()).toContain("waiting for the process that starts agents, which does not answer")
    expect(relay.log()).not.toContain("can't be ended")
    expect(existsSync(`/proc/${spawner}`)).toBe(false)
    expect(await processesWith(`sleep ${seconds}`)).toEqual([])
  })
})

describe("no process of an agent is left", () => {
  it("after a time-out", async () => {
    const seconds = mark()
    const relay = await start({
      nodes: nodes(1),
      agent: `${family(seconds)} sleep ${seconds}`,
      config: { remote_run: { timeout: "1s", kill_grace: "300ms" } }
    })
    const { body } = await curl(`${relay.url}/remote-run/node/n0?output=keep`)
    expect(events(body).find(({ event }) => event === "end")).toMatchObject({ code: null, timeout: true })
    expect(await processesWith(`sleep ${seconds}`)).toEqual([])
  })

  it("after a cancel", async () => {
    const seconds = mark()
    const relay = await start({
      nodes: nodes(3),
      agent: `${family(seconds)} sleep ${seconds}`,
      config: { remote_run: { kill_grace: "300ms", max_concurrent: 2 } }
    })
    const { body } = await curl("-d", "async=yes", `${relay.url}/remote-run/all`)
    const { id } = JSON.parse(body)
    await until("both agents run", async () =>
      (await processesWith(`sleep ${seconds}`)).length >= 8 ? true : undefined
    )
    expect((await curl("-X", "DELETE", `${relay.url}/remote-run/runs/${id}`)).status).toBe(202)
    const replay = await curl(`${relay.url}/remote-run/runs/${id}/output`)
    const ends = events(replay.body).filter(({ event }) => event === "end")
    expect(ends.map(({ cancelled }) => cancelled)).toEqual([true, true, true])
    expect(await processesWith(`sleep ${seconds}`)).toEqual([])
    expect((await curl("-X", "DELETE", `${relay.url}/remote-run/runs/${id}`)).status).toBe(200)
  })

  it("after a shutdown", async () => {
    const seconds = mark()
    const relay = await start({
      nodes: nodes(2),
      agent: `${family(seconds)} sleep ${seconds}`,
      config: { general: { shutdown_grace: "1s" }, remote_run: { kill_grace: "300ms" } }
    })
    await curl("-d", "async=yes", `${relay.url}/remote-run/all`)
    await until("both agents run", async () =>
      (await processesWith(`sleep ${seconds}`)).length >= 8 ? true : undefined
    )
    expect(await relay.stop()).toBe(0)
    expect(await processesWith(`sleep ${seconds}`)).toEqual([])
  })
})

describe("the program ends", () => {
  it("when shutdown_grace is over, though a client does not read its stream", async () => {
    const relay = await start({
      nodes: nodes(1),
      agent: "yes | head -c 20000000",
      config: { general: { shutdown_grace: "2s" } }
    })
    const socket = connect(relay.port, "127.0.0.1", () =>
      socket.write(
        "GET /rudder/relay-api/remote-run/all?output=keep&async=yes HTTP/1.1\r\nHost: localhost\r\n\r\n"
      )
    )
    socket.pause()
    socket.on("error", () => {})
    await until("the agent is over", async () =>
      JSON.parse((await curl(`${relay.url}/remote-run/runs`)).body).runs[0]?.ok === 1 ? true : undefined
    )
    const begun = performance.now()
    expect(await relay.stop()).toBe(0)
    const took = performance.now() - begun
    console.log(
      `SIGTERM with a client that does not read: gone after ${took.toFixed(0)} ms of a grace of 2000`
    )
    // It is gone once the grace is over: nobody waits for who does not read.
    expect(took).toBeLessThan(10_000)
    socket.destroy()
  })

  it("at once when nothing goes on, with idle connections and one that said nothing", async () => {
    const relay = await start({ nodes: nodes(1) })
    const silent = connect(relay.port, "127.0.0.1")
    silent.on("error", () => {})
    await fetch(`${relay.url}/system/info`).then((response) => response.text())
    const begun = performance.now()
    expect(await relay.stop()).toBe(0)
    // Far from the 30 s of the grace.
    expect(performance.now() - begun).toBeLessThan(10_000)
    silent.destroy()
  })

  it("after the streams that go on, with their ends, and starts nothing new", async () => {
    const relay = await start({
      nodes: nodes(2),
      agent: "echo begin; sleep 2; echo finish",
      config: { remote_run: { max_concurrent: 1 } }
    })
    const stream = curl(`${relay.url}/remote-run/all?output=keep&async=yes`)
    await until("the first agent runs", async () =>
      JSON.parse((await curl(`${relay.url}/remote-run/runs`)).body).runs[0]?.running === 1 ? true : undefined
    )
    expect(await relay.stop()).toBe(0)
    const { body } = await stream
    expect(body).toContain("n0:finish")
    expect(body).not.toContain("n1:")
    expect(events(body).at(-1)).toMatchObject({ event: "done", ok: 1, failed: 1 })
    expect(events(body).find(({ event, node }) => event === "end" && node === "n1")).toMatchObject({
      cancelled: true
    })
  })

  it("and a run that a kill -9 cut off says so after the next start", async () => {
    const seconds = mark()
    const first = await start({
      nodes: nodes(3),
      agent: `echo before; exec sleep ${seconds}`,
      config: { remote_run: { max_concurrent: 2 } }
    })
    const { body } = await curl(
      "-d",
      "async=yes",
      "-d",
      "output=keep",
      "-m",
      "1",
      `${first.url}/remote-run/all`
    )
    const [{ id } = { id: "" }] = events(body)
    await until("its output is on the disk", async () =>
      (await curl("-m", "1", `${first.url}/remote-run/runs/${id}/output`)).body.includes("n0:before")
    )
    first.kill("SIGKILL")
    await first.exited
    const second = await start({ directory: first.directory, nodes: nodes(3) })
    const run = JSON.parse((await curl(`${second.url}/remote-run/runs/${id}`)).body)
    expect(run).toMatchObject({ id, interrupted: true, nodes: 3, running: 0, ok: 0, failed: 3 })
    expect(run.states.map(({ state }: { state: string }) => state)).toEqual(["ended", "ended", "ended"])
    const replay = await curl(`${second.url}/remote-run/runs/${id}/output`)
    expect(replay.body).toContain("n0:before")
    expect(events(replay.body).filter(({ event }) => event === "end").length).toBe(3)
    expect(events(replay.body).at(-1)).toMatchObject({ event: "done", interrupted: true })
  })
})
