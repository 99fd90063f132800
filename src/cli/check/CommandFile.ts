/** The command that runs agents, and the commands that the relay itself runs: there, and to be executed. */
import { constants } from "node:fs"
import * as fs from "node:fs/promises"
import { join } from "node:path"
import { Effect } from "effect"
import type { Settings } from "../../config/Settings.ts"
import { type Finding, type Findings, finding, nothing, together } from "./Finding.ts"
import { isAbsent, type SystemFailure, system } from "./SystemCall.ts"

/** Why a file can't be run; undefined where it can. By sudo it is run as root, for whom any x counts. */
const notRunnable = (path: string, bySudo: boolean): Effect.Effect<string | undefined, SystemFailure> =>
  Effect.gen(function* () {
    const status = yield* system(() => fs.stat(path))
    if (status.isDirectory()) return "is a folder"
    if (!status.isFile()) return "is not a file"
    if (bySudo) return (status.mode & 0o111) === 0 ? "is not executable" : undefined
    return yield* system(() => fs.access(path, constants.X_OK)).pipe(
      Effect.as(undefined),
      Effect.orElseSucceed(() => "is not executable")
    )
  })

/** Where sudo looks besides, unless it is told otherwise. */
const sudoPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/** Where most commands are. */
const usual = "/usr/bin"

/** Each place costs a look, and which of them has it makes no difference. */
const likelyFirst = (places: ReadonlyArray<string>): ReadonlyArray<string> =>
  places.includes(usual) ? [usual, ...places.filter((place) => place !== usual)] : places

/** Whether a command is found by its name alone. */
export const isInPath = (name: string, bySudo = false): Effect.Effect<boolean> =>
  Effect.exists(
    likelyFirst(
      `${process.env.PATH ?? ""}${bySudo ? `:${sudoPath}` : ""}`.split(":").filter((place) => place !== "")
    ),
    (place) =>
      notRunnable(join(place, name), bySudo).pipe(
        Effect.match({ onSuccess: (reason) => reason === undefined, onFailure: () => false })
      )
  )

const key = "remote_run.command"

const wrongFile = (command: string, useSudo: boolean): Findings => {
  const told = (kind: "configuration" | "warning", message: string) => [
    finding(kind, "command", { key, file: command, message })
  ]
  return Effect.match(notRunnable(command, useSudo), {
    onSuccess: (reason) => (reason === undefined ? nothing : told("configuration", `${command} ${reason}`)),
    onFailure: (error) =>
      error.code === "EACCES" && useSudo
        ? told("warning", `only root can tell whether it can be run: ${error.message}`)
        : told(
            "configuration",
            `${command} ${isAbsent(error) ? "is not there" : `can't be run: ${error.message}`}`
          )
  })
}

const missing = (name: string, package_: string, why: string): Findings =>
  Effect.map(isInPath(name), (isThere): ReadonlyArray<Finding> => {
    const message = `there is no ${name} in PATH, ${why} (Debian: ${package_})`
    return isThere ? nothing : [finding("start", "program", { message })]
  })

/** A command that is not there, or can't be run: every run would end with an error. */
export const wrong = ({ remoteRun: { command, enabled, useSudo } }: Settings): Findings =>
  Effect.gen(function* () {
    if (!enabled) return nothing
    const noName = finding("configuration", "command", {
      key,
      message: `there is no command "${command}" in PATH`
    })
    const found = command.includes("/")
      ? yield* wrongFile(command, useSudo)
      : (yield* isInPath(command, useSudo))
        ? nothing
        : [noName]
    if (!useSudo || (yield* isInPath("sudo"))) return found
    const message = "there is no sudo in PATH"
    return [...found, finding("configuration", "sudo", { key: "remote_run.use_sudo", message })]
  })

/** What the relay runs for itself. */
export const own = ({ remoteRun }: Settings): Findings =>
  together([
    missing("flock", "util-linux", "which locks the relay's folders"),
    remoteRun.enabled
      ? missing("mkfifo", "coreutils", "which makes the pipes of agents")
      : Effect.succeed(nothing)
  ])
