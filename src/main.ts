/** The executable: what must hold from the first moment on, and then, as files of their own, everything else. */

try {
  await import("./cli/FirstMoment.ts")
  // A shell asks for words at each press of a key: they are named by a program of their own, which loads in no time.
  if (process.argv[2] === "__complete") await import(new URL("complete.js", import.meta.url).href)
  else await import("./cli/Main.ts")
} catch (cause) {
  // What is missing is a file of this program's: all else that it loads is node's own.
  if (!(cause instanceof Error && "code" in cause && cause.code === "ERR_MODULE_NOT_FOUND")) throw cause
  process.stderr.write(
    `rudder-relay is not installed whole, and has to be installed again: ${cause.message}\n`
  )
  process.exitCode = 3
}
