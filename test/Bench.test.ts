/** What `npm run bench` says of its figures: medians, ratios within a round, and whether an aim is reached. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { measure, print } from "../scripts/bench/rounds.mjs"

/** A row whose subjects say these rates, round by round. */
const row = (here: ReadonlyArray<number>, peer: ReadonlyArray<number>, aim: object) => {
  let stopped = 0
  const taken = { here: 0, peer: 0 }
  return {
    stopped: () => stopped,
    row: {
      name: "row",
      what: "what is measured",
      warmUps: 0,
      aims: [aim],
      prepare: async (scope: (thing: { readonly stop: () => void }) => unknown) => {
        scope({ stop: () => stopped++ })
        return {
          here: async () => ({ rate: here[taken.here++] }),
          peer: async () => ({ rate: peer[taken.peer++] })
        }
      }
    }
  }
}

const options = { rounds: 3, isShort: false }

describe("a row of the bench", () => {
  it("compares within a round, and takes the median of what it compared", async () => {
    const { row: of } = row([100, 10, 50], [100, 5, 200], { figure: "rate", over: "peer", least: 0.9 })
    const { aims, subjects } = await measure(of, options)
    expect(subjects).toEqual({
      here: { rate: { median: 50, least: 10, most: 100 } },
      peer: { rate: { median: 100, least: 5, most: 200 } }
    })
    expect(aims).toMatchObject([{ value: { median: 1, least: 0.25, most: 2 }, reached: true, halfway: true }])
  })

  it("takes half an aim for missed only where every round missed it", async () => {
    const judge = async (here: ReadonlyArray<number>, aim: object) =>
      (await measure(row(here, [100, 100, 100], aim).row, options)).aims[0]
    const least = { figure: "rate", over: "peer", least: 0.9 }
    expect(await judge([10, 46, 10], least)).toMatchObject({ reached: false, halfway: true })
    expect(await judge([10, 44, 10], least)).toMatchObject({ reached: false, halfway: false })
    const most = { figure: "rate", over: "peer", most: 1 }
    expect(await judge([900, 190, 900], most)).toMatchObject({ reached: false, halfway: true })
    expect(await judge([900, 210, 900], most)).toMatchObject({ reached: false, halfway: false })
  })

  it("says whether an aim is reached, and whether half of it is", async () => {
    const judge = async (aim: object) =>
      (await measure(row([40, 40, 40], [100, 100, 100], aim).row, options)).aims[0]
    expect(await judge({ figure: "rate", over: "peer", least: 0.7 })).toMatchObject({
      reached: false,
      halfway: true,
      isRatio: true
    })
    expect(await judge({ figure: "rate", over: "peer", least: 0.9 })).toMatchObject({ halfway: false })
    expect(await judge({ figure: "rate", over: "peer", most: 0.3 })).toMatchObject({
      reached: false,
      halfway: true
    })
    const orEnough = (or: number) => judge({ figure: "rate", over: "peer", least: 0.9, or })
    expect(await orEnough(40)).toMatchObject({ reached: true, halfway: true })
    expect(await orEnough(41)).toMatchObject({ reached: false, halfway: true })
    expect(await orEnough(81)).toMatchObject({ reached: false, halfway: false })
    expect(await judge({ figure: "rate", most: 15 })).toMatchObject({
      reached: false,
      halfway: false,
      isRatio: false
    })
    expect(await judge({ figure: "rate", over: "peer", difference: true, most: -60 })).toMatchObject({
      value: { median: -60 },
      reached: true,
      isRatio: false
    })
  })

  it("stops what it started, also when a subject fails", async () => {
    const { row: of, stopped } = row([1, 1, 1], [1, 1, 1], { figure: "rate", least: 1 })
    await measure(of, options)
    expect(stopped()).toBe(1)
    const failing = {
      ...of,
      prepare: async (scope: Parameters<typeof of.prepare>[0]) => ({
        ...(await of.prepare(scope)),
        here: () => Promise.reject(new Error("no"))
      })
    }
    await expect(measure(failing, options)).rejects.toThrow("no")
    expect(stopped()).toBe(2)
  })

  it("prints figures with their units, and aims", async () => {
    const { row: of } = row([1200, 1300, 1100], [2000, 2000, 2000], {
      figure: "rate",
      over: "peer",
      least: 0.5
    })
    expect(print(await measure(of, options))).toBe(
      [
        "row: what is measured",
        "  here                               1,200 (1,100–1,300)/s",
        "  peer                               2,000/s",
        "  reached rate 0.60 (0.55–0.65) × peer, aim ≥ 0.5"
      ].join("\n")
    )
  })
})

describe("a bench that is told to stop", () => {
  /**
   * Begins to measure something that never ends, and says which process it has started for that. What it is told it is told
   * twice, as by a terminal and npm.
   */
  const measuring = `
    import { end, endAtSignals, get, newFolder, peer } from ${JSON.stringify(new URL("../scripts/bench/support.mjs", import.meta.url).href)}
    endAtSignals()
    newFolder()
    const { pid, port } = await peer("http")
    for (const signal of ["SIGINT", "SIGTERM"])
      process.once(signal, () =>
        setImmediate(() => {
          Promise.reject(new Error("something else that fails by the end"))
          process.kill(process.pid, signal)
        })
      )
    console.log(pid)
    try {
      for (;;) await get("http://127.0.0.1:" + port)
    } finally {
      await end()
    }`

  const isRunning = (pid: number) => {
    try {
      return process.kill(pid, 0)
    } catch {
      return false
    }
  }

  for (const [signal, code] of [
    ["SIGINT", 130],
    ["SIGTERM", 143]
  ] as const)
    it(`ends what it has started, and removes its folder: ${signal}`, async () => {
      const folder = mkdtempSync(join(tmpdir(), "bench-test-"))
      const bench = spawn(process.execPath, ["--input-type=module", "-e", measuring], {
        env: { ...process.env, TMPDIR: folder },
        stdio: ["ignore", "pipe", "inherit"]
      })
      let pid = 0
      try {
        const [line] = await once(bench.stdout, "data")
        pid = Number(String(line))
        expect(isRunning(pid)).toBe(true)
        expect(readdirSync(folder)).toHaveLength(1)
        bench.kill(signal)
        expect(await once(bench, "exit")).toEqual([code, null])
        expect(isRunning(pid)).toBe(false)
        expect(readdirSync(folder)).toEqual([])
      } finally {
        bench.kill("SIGKILL")
        if (pid > 0 && isRunning(pid)) process.kill(pid)
        rmSync(folder, { recursive: true })
      }
    })
})
