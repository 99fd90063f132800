/** Who checks, and the folder that is only read. */
import { constants } from "node:fs"
import * as fs from "node:fs/promises"
import { Effect, Option } from "effect"
import type { Settings } from "../../config/Settings.ts"
import { type Findings, finding, nothing } from "./Finding.ts"
import * as RelayFolder from "./RelayFolder.ts"
import { isAbsent, system, user } from "./SystemCall.ts"

/** The name of a user, as the system's own list has it. */
const nameOf = (uid: number) =>
  system(async () => {
    const line = (await fs.readFile("/etc/passwd", "utf8"))
      .split("\n")
      .find((one) => one.split(":")[2] === String(uid))
    return line?.split(":")[0] ?? String(uid)
  }).pipe(Effect.orElseSucceed(() => String(uid)))

/** Root may nearly everything: what it finds well may not be so for the user that the relay runs as. */
export const asRoot = (settings: Settings): Findings =>
  Effect.gen(function* () {
    if (process.geteuid?.() !== 0) return nothing
    for (const { key, path } of RelayFolder.all(settings)) {
      const owner = yield* Effect.option(system(async () => (await fs.stat(path)).uid))
      if (Option.isNone(owner) || owner.value === 0) continue
      const name = yield* nameOf(owner.value)
      const message = `${path} belongs to ${name}, and root checks: what ${name} may do is told by checking as ${name}`
      return [finding("warning", "user", { key, file: path, message })]
    }
    return nothing
  })

/** `shared_folder.path`, where it is there: on most relays it is not. */
export const sharedFolder = ({ sharedFolder: { path } }: Settings): Findings => {
  const key = "shared_folder.path"
  const told = (message: string) => [finding("work", "shared-folder", { key, file: path, message })]
  return Effect.gen(function* () {
    if (!(yield* system(() => fs.stat(path))).isDirectory()) return told(`${path} is not a folder`)
    yield* system(() => fs.access(path, constants.R_OK | constants.X_OK))
    return nothing
  }).pipe(
    Effect.catchAll((error) =>
      isAbsent(error)
        ? Effect.succeed(nothing)
        : Effect.map(user, (name) => told(`${path} can't be read by ${name}: ${error.message}`))
    )
  )
}
