/** What sudo lets this user do, and whether what it starts can be ended. */
import { spawn } from "node:child_process"
import { Effect } from "effect"
import type { Settings } from "../../config/Settings.ts"
import * as Signals from "../../remote-run/agents/Signals.ts"
import * as CommandFile from "./CommandFile.ts"
import { type Findings, finding, nothing, within } from "./Finding.ts"
import { user } from "./SystemCall.ts"

const key = "remote_run.use_sudo"

/** How the relay calls the command, without and with classes. */
const calls: ReadonlyArray<ReadonlyArray<string>> = [
  ["remote", "run", "--", "localhost"],
  ["remote", "run", "-D", "any", "--", "localhost"]
]

/** It may ask directories and name servers for its rules. Seconds. */
const patience = 10

/** What sudo says against a call; undefined where it would run it without a password. Nothing is run. */
const refusal = (command: string, args: ReadonlyArray<string>) =>
  Effect.async<string | undefined>((resume) => {
    const child = spawn("sudo", ["-n", "-l", command, ...args], { stdio: ["ignore", "ignore", "pipe"] })
    let said = ""
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      said = `${said}${text}`.slice(0, 4096)
    })
    child.once("error", ({ message }) => resume(Effect.succeed(message)))
    child.once("close", (code) =>
      resume(Effect.succeed(code === 0 ? undefined : said.trim() || "no rule allows it"))
    )
    // It is root's, so that it may not be killed by us: it is let go.
    return Effect.sync(() => {
      child.kill("SIGKILL")
      child.stderr.destroy()
      child.unref()
    })
  })

const rules = (command: string): Findings =>
  Effect.gen(function* () {
    const refused = yield* Effect.forEach(calls, (args) => refusal(command, args), { concurrency: 2 })
    const at = refused.findIndex((reason) => reason !== undefined)
    if (at === -1) return nothing
    const name = yield* user
    const call = [command, ...(calls[at] ?? [])].join(" ")
    const rule = `${name} ALL = NOPASSWD: ${command} remote run *`
    return [
      finding("work", "sudo", {
        key,
        message: `sudo does not let ${name} run "${call}" (${refused[at]}); its rule would be: ${rule}`
      })
    ]
  })

/** Whether sudo runs agents for this user, without asking for a password. */
export const wrong = ({ remoteRun: { command, enabled, useSudo } }: Settings): Findings =>
  Effect.gen(function* () {
    // What is not there, CommandFile tells.
    if (!enabled || !useSudo || !(yield* CommandFile.isInPath("sudo"))) return nothing
    return yield* within(patience, "sudo", { key, message: "what sudo allows" }, rules(command))
  })

/** Whether the relay can end what sudo starts. */
export const signals = ({ remoteRun }: Settings): Findings =>
  Effect.map(Signals.canSignalRoot, (allowed) =>
    remoteRun.enabled && remoteRun.useSudo && !allowed
      ? [
          finding("warning", "sudo", {
            key,
            message:
              "this user may not signal what sudo starts, so a time-out or a cancel can't end it; grant the daemon CAP_KILL"
          })
        ]
      : nothing
  )
