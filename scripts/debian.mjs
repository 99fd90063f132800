// Commands that tests and measurements use, from Debian's packages.
import { spawnSync } from "node:child_process"
import { existsSync } from "node:fs"
import { run } from "./setup.mjs"

const has = (command) => spawnSync("sh", ["-c", `command -v ${command}`], { stdio: "ignore" }).status === 0

/** The services that packages start by themselves where systemd runs; only the programs are wanted. */
const services = {
  cfengine3: ["cfengine3", "cf-execd", "cf-monitord", "cf-serverd"],
  apache2: ["apache2"],
  "nginx-light": ["nginx"],
  prometheus: ["prometheus"]
}

/** Installs these packages; prints to stderr. */
export const installPackages = (packages) => {
  if (packages.length === 0) return
  const quiet = { stdio: ["ignore", 2, 2], env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } }
  run("apt-get", ["update", "-q"], quiet)
  run("apt-get", ["install", "-q", "-y", "--no-install-recommends", ...packages], quiet)
  const started = packages.filter((name) => Object.hasOwn(services, name)).flatMap((name) => services[name])
  if (started.length > 0 && existsSync("/run/systemd/system"))
    run("systemctl", ["disable", "--now", ...started], quiet)
}

/** @param needed commands, and the packages that have them */
export const missingPackages = (needed) => [
  ...new Set(
    Object.entries(needed)
      .filter(([command]) => !has(command))
      .map(([, name]) => name)
  )
]

export const installCommands = (needed) => installPackages(missingPackages(needed))
