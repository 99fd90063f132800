// npm run test:e2e: the built program from outside, with real curl, openssl and sudo. Installs what is missing.
import { spawnSync } from "node:child_process"
import { installPackages, missingPackages } from "./debian.mjs"
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
  promtool: "prometheus",
  lintian: "lintian",
  "systemd-notify": "systemd",
  ip: "iproute2",
  tmux: "tmux",
  zsh: "zsh",
  fish: "fish",
  man: "man-db",
  groff: "groff",
  mandoc: "mandoc"
}

/** Modules of Python that make an environment of its own for what tests the API, and Debian's packages that have them. */
const modules = { venv: "python3", ensurepip: "python3-venv" }

const hasModule = (name) => spawnSync("python3", ["-c", `import ${name}`], { stdio: "ignore" }).status === 0
const missing = Object.entries(modules)
  .filter(([name]) => !hasModule(name))
  .map(([, name]) => name)
installPackages([...new Set([...missingPackages(needed), ...missing])])
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
