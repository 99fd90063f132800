/** The executable: what must hold from the first moment on, and then, as files of their own, everything else. */
import { fileURLToPath } from "node:url"

/** Beside this file; its name says what is in it. */
declare const programFile: string

try {
  await import("./cli/FirstMoment.ts")
  // A shell asks for words at each press of a key: they are named by a program of their own, which loads in no time.
  if (process.argv[2] === "__complete") await import(new URL("complete.js", import.meta.url).href)
  else {
    const { start } = await import("./cli/CompiledProgram.ts")
    start(fileURLToPath(new URL(programFile, import.meta.url)))
  }
} catch (cause) {
  // What is missing is a file of this program's: all else that it loads is node's own.
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined
  const missing = code === "ERR_MODULE_NOT_FOUND" || code === "MODULE_NOT_FOUND"
  const unreadable = code === "ENOENT" && cause instanceof Error && "path" in cause
  if (!(cause instanceof Error && (missing || unreadable))) throw cause
  process.stderr.write(
    `rudder-relay is not installed whole, and has to be installed again: ${cause.message}\n`
  )
  process.exitCode = 3
}
