/** What is left of an agent: nothing; and how the program itself ends. */
import { connect } from "node:net"
import { afterEach, describe, expect, it } from "vitest"
import { cleanUp, curl, events, nodes, processesWith, start, until } from "./support/Program.ts"

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
  until(`no process of the agent is left`, async () =>
    (await processesWith(`sleep ${seconds}`)).length === 0 ? true : undefined
  )

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

  it("after a run that left some behind", async () => {
    const seconds = mark()
    const relay = await start({
      nodes: nodes(1),
      agent: `sleep ${seconds} & setsid sleep ${seconds} & echo over`,
      config: { remote_run: { kill_grace: "300ms" } }
    })
    const { body } = await curl(`${relay.url}/remote-run/node/n0?output=keep`)
    const end = events(body).find(({ event }) => event === "end")
    expect(end).toMatchObject({ code: 0 })
    expect(body).toContain("n0:over")
    await gone(seconds)
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
  it("within shutdown_grace, though a client does not read its stream", async () => {
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
    expect(took).toBeLessThan(2000)
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
    first.kill("SIGKILL")
    await first.exited
    for (const pid of await processesWith(`sleep ${seconds}`)) process.kill(pid, "SIGKILL")
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
