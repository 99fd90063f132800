// npm run test:e2e: the built program from outside, with real curl, openssl and sudo. Installs what is missing.
import { spawnSync } from "node:child_process"
import { existsSync } from "node:fs"
import { bin, build, install, run } from "./setup.mjs"

/** Commands that the tests use, and Debian's packages that have them. */
const needed = {
  curl: "curl",
  openssl: "openssl",
  sudo: "sudo",
  setpriv: "util-linux",
  pgrep: "procps",
  useradd: "passwd",
  "cf-agent": "cfengine3",
  apache2: "apache2",
  tmux: "tmux"
}

const services = { cfengine3: ["cfengine3", "cf-execd", "cf-monitord", "cf-serverd"], apache2: ["apache2"] }

/** Modules of Python that make an environment of its own for what tests the API, and Debian's packages that have them. */
const modules = { venv: "python3", ensurepip: "python3-venv" }

const has = (command) => spawnSync("sh", ["-c", `command -v ${command}`], { stdio: "ignore" }).status === 0
const hasModule = (name) => spawnSync("python3", ["-c", `import ${name}`], { stdio: "ignore" }).status === 0
const missing = [
  ...Object.entries(needed).filter(([command]) => !has(command)),
  ...Object.entries(modules).filter(([name]) => !hasModule(name))
]
if (missing.length > 0) {
  const packages = [...new Set(missing.map(([, name]) => name))]
  const quiet = { stdio: ["ignore", 2, 2], env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } }
  run("apt-get", ["update", "-q"], quiet)
  run("apt-get", ["install", "-q", "-y", "--no-install-recommends", ...packages], quiet)
  // The tests want the programs, not the services that Debian's packages start with them where systemd runs.
  const started = packages.filter((name) => Object.hasOwn(services, name)).flatMap((name) => services[name])
  if (started.length > 0 && existsSync("/run/systemd/system"))
    run("systemctl", ["disable", "--now", ...started], quiet)
}
install()
build()
// One file after the other, since some measure, and each in a process of its own.
run(bin("vitest"), [
  "run",
  "--project",
  "e2e",
  "--no-file-parallelism",
  "--isolate",
  ...process.argv.slice(2)
])
