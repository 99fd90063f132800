// The least that node can do to run agents: a loop over child_process, so many at once, that reads each one's line.
import { spawn } from "node:child_process"

const [command, count, atOnce] = process.argv.slice(2)
let next = 0
const one = (host) =>
  new Promise((resolve) => {
    const child = spawn(command, ["remote", "run", "--", host], { stdio: ["ignore", "pipe", "pipe"] })
    child.stdout.on("data", () => {})
    child.stderr.on("data", () => {})
    child.once("close", resolve)
  })
const worker = async () => {
  while (next < Number(count)) await one(`n${next++}`)
}
const before = process.cpuUsage()
const began = performance.now()
await Promise.all(Array.from({ length: Number(atOnce) }, worker))
const { user, system } = process.cpuUsage(before)
console.log(
  JSON.stringify({ seconds: (performance.now() - began) / 1000, cpu: (user + system) / Number(count) })
)
