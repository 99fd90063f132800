/** Real agents for tests: small programs in a folder of their own, and what became of their processes. */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { Duration, Effect, Layer } from "effect"
import { makeSettings } from "../../src/config/GivenSettings.ts"
import { RelayConfig } from "../../src/config/RelayConfig.ts"
import {
  type AgentCommand,
  type AgentOutput,
  AgentProcess
} from "../../src/remote-run/agents/AgentProcess.ts"
import * as LocalAgents from "../../src/remote-run/agents/LocalAgents.ts"
import * as ProcessTable from "../../src/remote-run/agents/ProcessTable.ts"
import { eventually } from "./Until.ts"

/** A folder that goes with the scope. */
export const folder = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "rudder-relay-test-"))),
  (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true, force: true }))
)

/** An agent that is a shell script; `$DIR` is its folder. Gives its path. */
export const shell = (script: string) =>
  Effect.map(folder, (dir) => {
    const file = path.join(dir, "agent")
    fs.writeFileSync(file, `#!/bin/sh\nDIR='${dir}'\n${script}\n`, { mode: 0o755 })
    return file
  })

/** An agent that is a Node script; `dir` is its folder, `spawn` and `fs` are at hand. Gives its path. */
export const node = (script: string) =>
  Effect.map(folder, (dir) => {
    const head = `const { spawn } = require("node:child_process"); const fs = require("node:fs"); const dir = '${dir}'\n`
    fs.writeFileSync(path.join(dir, "agent.cjs"), head + script)
    const file = path.join(dir, "agent")
    fs.writeFileSync(file, `#!/bin/sh\nexec '${process.execPath}' '${dir}/agent.cjs' "$@"\n`, { mode: 0o755 })
    return file
  })

/** Sets variables of this process's environment until the scope ends. */
export const environment = (variables: Readonly<Record<string, string>>) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const before = { ...process.env }
      Object.assign(process.env, variables)
      return before
    }),
    (before) =>
      Effect.sync(() => {
        for (const name of Object.keys(variables)) {
          const value = before[name]
          if (value === undefined) delete process.env[name]
          else process.env[name] = value
        }
      })
  )

/** The live Layer with this agent. */
export const live = (
  command: string,
  options: { readonly killGrace?: Duration.DurationInput; readonly useSudo?: boolean } = {}
) =>
  LocalAgents.layer.pipe(
    Layer.provide(
      Layer.succeed(
        RelayConfig,
        makeSettings({
          remoteRun: {
            command,
            useSudo: options.useSudo ?? false,
            killGrace: Duration.decode(options.killGrace ?? "5 seconds")
          }
        })
      )
    )
  )

/** Runs the agent of a node. */
export const run = (
  output: AgentOutput,
  command: AgentCommand = { hostname: "node.example.com", classes: [] }
) => Effect.flatMap(AgentProcess, (agents) => agents.run(command, output))

/** An output that keeps what it is given. */
export const collect = () => {
  const kept: Record<"stdout" | "stderr", Array<Buffer>> = { stdout: [], stderr: [] }
  const output: AgentOutput = {
    write: (stream, bytes) => {
      kept[stream].push(Buffer.from(bytes))
      return true
    }
  }
  return {
    output,
    bytes: (stream: "stdout" | "stderr") => Buffer.concat(kept[stream]),
    text: (stream: "stdout" | "stderr") => Buffer.concat(kept[stream]).toString()
  }
}

/** Waits until something is so. */
export const until = eventually

/** The process ids that an agent has written to files of this name, one a line; waits for the file. */
export const pids = (command: string, name: string) => {
  const file = path.join(path.dirname(command), name)
  const lines = () => (fs.existsSync(file) ? fs.readFileSync(file, "utf8").split("\n").slice(0, -1) : [])
  return until(() => lines().length > 0).pipe(Effect.map(() => lines().map(Number)))
}

/** Whether a process lives; a zombie does not. */
export const lives = (pid: number): boolean => ProcessTable.find(pid)?.zombie === false

/** How many files this process has open. */
export const openFiles = () => fs.readdirSync("/proc/self/fd").length
