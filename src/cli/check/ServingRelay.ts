/** A relay that runs already: which process has this configuration's folders, and what it serves. */
import * as fs from "node:fs/promises"
import { hostname } from "node:os"
import { resolve } from "node:path"
import { Effect, Option } from "effect"
import type { Settings } from "../../config/Settings.ts"
import * as FolderLease from "../../disk/FolderLease.ts"
import { type Finding, finding } from "./Finding.ts"
import * as RelayFolder from "./RelayFolder.ts"
import { system, user } from "./SystemCall.ts"

/** A folder of this configuration's that a process has. */
interface Held {
  readonly folder: RelayFolder.Named
  /** As it wrote it into the folder. */
  readonly holder: string
  readonly pid: Option.Option<number>
}

/** Who works on the folders now. */
export interface ServingRelay {
  /** Processes of this machine that have a folder and were started on this configuration. */
  readonly ours: ReadonlySet<number>
  /** What is wrong: folders that others have, and locks that can't be opened. */
  readonly found: ReadonlyArray<Finding>
}

/** A process of this machine, as the one that has a lock writes it; its number may be another's by now. */
const pidIn = (holder: string): Option.Option<number> => {
  const [, pid, host] = /^process (\d+) on (\S+)$/.exec(holder) ?? []
  return pid !== undefined && host === hostname() ? Option.some(Number(pid)) : Option.none()
}

/** What follows one of these options on a command line, behind a space or a `=`. */
const valueOf = (args: ReadonlyArray<string>, ...names: ReadonlyArray<string>): string | undefined => {
  const at = args.findIndex((arg) => names.includes(arg))
  const joined = args.find((arg) => names.some((name) => arg.startsWith(`${name}=`)))
  return joined === undefined ? (at === -1 ? undefined : args[at + 1]) : joined.replace(/^[^=]*=/, "")
}

/**
 * The folder that a command line of the program names: a sandbox's has another option, and another folder where that is
 * not there.
 */
export const folderIn = (args: ReadonlyArray<string>, usual: string): string =>
  valueOf(args, "-c", "--config") ??
  (args.includes("sandbox") ? (valueOf(args, "--directory") ?? "sandbox") : usual)

/** Whether a process was started on a folder's configuration. */
const serves = (pid: number, directory: string, usual: string): Effect.Effect<boolean> =>
  system(async () => {
    const args = (await fs.readFile(`/proc/${pid}/cmdline`, "utf8")).split("\0")
    const cwd = await fs.readlink(`/proc/${pid}/cwd`).catch(() => "/")
    const [its, asked] = await Promise.all(
      [resolve(cwd, folderIn(args, usual)), resolve(directory)].map((path) =>
        fs.realpath(path).catch(() => path)
      )
    )
    return its === asked
  }).pipe(Effect.orElseSucceed(() => false))

const look = (folder: RelayFolder.Named) =>
  Effect.match(FolderLease.holder(folder.path), {
    onFailure: ({ message }) => ({ folder, unreadable: message }),
    onSuccess: (holder) => ({ folder, holder })
  })

/**
 * Who works on the folders of these settings.
 *
 * @param directory the configuration's folder
 * @param usual the folder of a relay whose command line names none
 */
export const find = (settings: Settings, directory: string, usual: string): Effect.Effect<ServingRelay> =>
  Effect.gen(function* () {
    const looked = yield* Effect.forEach(RelayFolder.all(settings), look, { concurrency: "unbounded" })
    const name = yield* user
    const found: Array<Finding> = []
    const held: Array<Held> = []
    for (const { folder, ...state } of looked) {
      const { key, path: file } = folder
      if ("unreadable" in state) {
        const message = `the lock in ${file} can't be taken by ${name}: ${state.unreadable}`
        found.push(finding("start", "folder", { key, file, message }))
      } else if (Option.isSome(state.holder))
        held.push({ folder, holder: state.holder.value, pid: pidIn(state.holder.value) })
    }
    const ours = new Set<number>()
    for (const { folder, holder, pid } of held) {
      if (Option.isSome(pid) && (ours.has(pid.value) || (yield* serves(pid.value, directory, usual))))
        ours.add(pid.value)
      else {
        const message = `another relay works on ${folder.path}: ${holder}`
        found.push(finding("start", "folder", { key: folder.key, file: folder.path, message }))
      }
    }
    return { ours, found }
  })
