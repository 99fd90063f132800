/**
 * A folder of FIFOs that is known to be a living daemon's, so that one of a daemon that was killed can be removed.
 *
 * Its name says which process made it, and a FIFO in it that only that process reads says whether it lives: the kernel
 * takes a reader away however it ends, whatever process has its number since, and also where it can't be seen from here.
 */
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import * as ProcessTable from "./ProcessTable.ts"

const prefix = "rudder-relay-fifos-"
const signOfLife = "alive"

/** Also says what nobody else makes: pid and start time of its process, and six characters of mkdtemp's. */
const name = new RegExp(`^${prefix}(\\d+)-(\\d+)-[A-Za-z0-9]{6}$`)

/** Makes an empty folder, which nobody but the daemon's user gets into. */
export const make = (parent: string): Promise<string> => {
  const start = ProcessTable.find(process.pid)?.start ?? 0
  return fs.promises.mkdtemp(path.join(parent, `${prefix}${process.pid}-${start}-`))
}

/** The FIFO to be made in it first. */
export const signOf = (folder: string): string => path.join(folder, signOfLife)

/** The name of a FIFO in it that nobody used yet. */
export const newName = (folder: string): string => path.join(folder, randomUUID())

/** While the file that this opens is open, the folder is a living daemon's. */
export const claim = (folder: string): number =>
  fs.openSync(signOf(folder), fs.constants.O_RDWR | fs.constants.O_NONBLOCK)

const codeOf = (cause: unknown) => (cause instanceof Error && "code" in cause ? cause.code : undefined)

const hasReader = (fifo: string): boolean => {
  const { O_WRONLY, O_NONBLOCK, O_NOFOLLOW } = fs.constants
  try {
    fs.closeSync(fs.openSync(fifo, O_WRONLY | O_NONBLOCK | O_NOFOLLOW))
    return true
  } catch (cause) {
    // What can't be told stays.
    return codeOf(cause) !== "ENXIO" && codeOf(cause) !== "ENOENT"
  }
}

/** Between the folder's making and its claim only the name tells. */
const isMadeByLiving = (pid: number, start: number): boolean => ProcessTable.find(pid)?.start === start

/** Removes a folder and the FIFOs in it. Whatever else is there is none of ours: the folder stays then, and this throws. */
export const remove = (folder: string): void => {
  for (const entry of fs.readdirSync(folder, { withFileTypes: true }))
    if (entry.isFIFO()) fs.rmSync(path.join(folder, entry.name), { force: true })
  fs.rmdirSync(folder)
}

/**
 * The folders of this user's daemons below `parent` that live no more. Others may write there too: what is a link, or
 * another user's, or open to others, was not made by a daemon of this user.
 */
export const abandoned = (parent: string): ReadonlyArray<string> =>
  fs.readdirSync(parent).flatMap((entry) => {
    const [, pid, start] = name.exec(entry) ?? []
    if (pid === undefined) return []
    const folder = path.join(parent, entry)
    const found = fs.lstatSync(folder, { throwIfNoEntry: false })
    const ours = found?.isDirectory() && found.uid === process.geteuid?.() && (found.mode & 0o077) === 0
    if (!ours || hasReader(signOf(folder)) || isMadeByLiving(Number(pid), Number(start))) return []
    return [folder]
  })
