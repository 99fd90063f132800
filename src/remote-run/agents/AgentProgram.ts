/** Which file `remote_run.command` is. Agents start in `/`, so nothing may be left to be meant from another folder. */
import * as fs from "node:fs"
import * as path from "node:path"

/** Where names of programs are looked up: the daemon's own folder and path. */
export interface LookUp {
  /** The folder that the daemon was started in. */
  readonly folder: string
  /** As in the environment. */
  readonly path: string | undefined
}

const isProgram = (file: string): boolean => {
  try {
    fs.accessSync(file, fs.constants.X_OK)
    return fs.statSync(file).isFile()
  } catch {
    return false
  }
}

/**
 * The absolute path of a command: one with a slash is meant from the folder, one without is looked up in the path. What
 * is not found stays a name: who starts it (sudo has a path of its own) says so, or knows better.
 */
export const find = (command: string, { folder, path: folders = "" }: LookUp): string => {
  if (command.includes("/")) return path.resolve(folder, command)
  for (const entry of folders.split(":")) {
    const file = path.resolve(folder, entry, command)
    if (isProgram(file)) return file
  }
  return command
}
