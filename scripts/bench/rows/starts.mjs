// Starting, and what an idle relay holds.

import { spawnSync } from "node:child_process"
import { load, request } from "../load.mjs"
import { memory, nodes, relay, sleep, timed } from "../support.mjs"

/** By then what follows a start is over. Milliseconds. */
const settled = 10_000

const firstAnswer = (list) => async () => {
  const here = await relay(list)
  await load(here.port, 1, 1, () => request("GET", "/rudder/relay-api/system/info"))
  const time = performance.now() - here.began
  await sleep(settled)
  const figures = { time, memory: memory(here.pid, "VmRSS") }
  await here.stop()
  return figures
}

const start = {
  name: "start",
  what: "from the start of the program to its first answer; memory after ten seconds without work",
  aims: [
    { figure: "time", most: 350 },
    { figure: "memory", most: 80 }
  ],
  rounds: 3,
  prepare: async () => ({
    here: firstAnswer(nodes(2)),
    "node itself": async () => ({
      time: (await timed(() => spawnSync(process.execPath, ["-e", "0"]))) * 1000
    })
  })
}

const large = {
  name: "start-100000",
  what: "the same with 100,000 nodes",
  aims: [],
  rounds: 3,
  prepare: async () => ({ here: firstAnswer(nodes(100_000)) })
}

export default [start, large]
