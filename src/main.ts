/**
 * The executable: what must hold from the first moment on, and then, as files of their own, everything else.
 *
 * It is built as CommonJS. For an ES module node reads files by its threads before any of it runs, and how many there are
 * is settled by then.
 */
import { join } from "node:path"

// Commits wait for the disk by node's threads; with its own four, those of many uploads would wait for each other. A
// thread that has nothing to do takes some ten KiB.
process.env.UV_THREADPOOL_SIZE ??= "24"

/** Beside this file; its name says what is in it. */
declare const programFile: string

const main = async (): Promise<void> => {
  await import("./cli/FirstMoment.ts")
  // A shell asks for words at each press of a key: they are named by a program of their own, which loads in no time.
  if (process.argv[2] === "__complete") await import("./complete.ts")
  else {
    const { start } = await import("./cli/CompiledProgram.ts")
    start(join(__dirname, programFile))
  }
}

main().catch((cause: unknown) => {
  // What is missing is a file of this program's: all else that it loads is node's own.
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined
  const unreadable = code === "ENOENT" && cause instanceof Error && "path" in cause
  if (!(cause instanceof Error && (code === "MODULE_NOT_FOUND" || unreadable))) throw cause
  process.stderr.write(
    `rudder-relay is not installed whole, and has to be installed again: ${cause.message}\n`
  )
  process.exitCode = 3
})
