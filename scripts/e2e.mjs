// npm run test:e2e: the built program from outside, with real curl, openssl and sudo. Installs what is missing.
import { spawnSync } from "node:child_process"
import { bin, build, install, run } from "./setup.mjs"

/** Commands that the tests use, and Debian's packages that have them. */
const needed = { curl: "curl", openssl: "openssl", sudo: "sudo", setpriv: "util-linux" }

const has = (command) => spawnSync("sh", ["-c", `command -v ${command}`], { stdio: "ignore" }).status === 0
const missing = Object.entries(needed).filter(([command]) => !has(command))
if (missing.length > 0) {
  const packages = [...new Set(missing.map(([, name]) => name))]
  const quiet = { stdio: ["ignore", 2, 2], env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } }
  run("apt-get", ["update", "-q"], quiet)
  run("apt-get", ["install", "-q", "-y", "--no-install-recommends", ...packages], quiet)
}
install()
build()
// One file after the other: some measure.
run(bin("vitest"), ["run", "--project", "e2e", "--no-file-parallelism", ...process.argv.slice(2)])
