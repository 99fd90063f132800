/** The daemon, as nearly every start calls it: it does not wait for `@effect/cli`, which would be 5 % of that. */
import { Effect } from "effect"
import { loaded } from "./CommandModule.ts"

/** Where relayd has its configuration. */
export const defaultFolder = "/opt/rudder/etc/relayd"

/** Serves the configuration of a folder. */
export const serve = (folder: string) =>
  Effect.flatMap(
    loaded(() => import("./Serve.ts")),
    (module) => module.serveFolder(folder)
  )

/**
 * The folder that a call serves, if it does nothing else. What looks like an option stays for `@effect/cli`, which has some
 * of its own.
 *
 * @param args a `Call` of `CommandLine`
 */
export const folderOf = (args: ReadonlyArray<string>): string | undefined => {
  const [option, folder = "", ...others] = args[0] === "serve" ? args.slice(1) : args
  if (option === undefined) return defaultFolder
  return option === "--config" && others.length === 0 && !folder.startsWith("-") ? folder : undefined
}
