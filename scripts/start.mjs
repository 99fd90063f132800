// npm start: installs and builds what is missing or stale, then runs the sandbox.
import { spawn } from "node:child_process"
import { join } from "node:path"
import { build, install, top } from "./setup.mjs"

install()
build()
const program = spawn(process.execPath, [join(top, "dist/main.cjs"), "sandbox", ...process.argv.slice(2)], {
  cwd: top,
  stdio: "inherit"
})
// The terminal's own Ctrl-C reaches both; what is sent to this process alone is passed on.
process.on("SIGINT", () => {})
process.on("SIGTERM", () => program.kill("SIGTERM"))
program.on("exit", (code) => process.exit(code ?? 1))
