// How late a line comes through a pipe: starts printers, reads each line's time, and says how many milliseconds passed.
import { spawn } from "node:child_process"

const [command, count] = process.argv.slice(2)
const delays = []
const one = () =>
  new Promise((resolve) => {
    const child = spawn(command, ["remote", "run", "--", "n"], { stdio: ["ignore", "pipe", "ignore"] })
    let rest = ""
    child.stdout.on("data", (bytes) => {
      const now = performance.timeOrigin + performance.now()
      const lines = (rest + bytes).split("\n")
      rest = lines.pop() ?? ""
      for (const line of lines) if (line.startsWith("at ")) delays.push(now - Number(line.slice(3)) * 1000)
    })
    child.once("close", resolve)
  })
await Promise.all(Array.from({ length: Number(count) }, one))
console.log(JSON.stringify(delays))
