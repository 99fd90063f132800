// What every script needs first: packages installed as the lock file says, and the program built from these sources.
import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

export const top = fileURLToPath(new URL("..", import.meta.url))

const hash = (files) => {
  const sum = createHash("sha256")
  for (const file of files)
    sum
      .update(file)
      .update("\0")
      .update(readFileSync(join(top, file)))
      .update("\0")
  return sum.digest("hex")
}

const stamped = (stamp, value) =>
  existsSync(join(top, stamp)) && readFileSync(join(top, stamp), "utf8") === value

/** Runs a command in the project's folder; the script ends with its code when it fails. */
export const run = (command, args, options = {}) => {
  const { status, error } = spawnSync(command, args, { cwd: top, stdio: "inherit", ...options })
  if (error) throw error
  if (status !== 0) process.exit(status ?? 1)
}

/** Where a package's own executable is. */
export const bin = (name) => join(top, "node_modules", ".bin", name)

const sources = () =>
  readdirSync(join(top, "src"), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(top.length))
    .sort()

/** The scripts themselves: what the build is made with is among them. */
const scripts = () =>
  readdirSync(join(top, "scripts"))
    .filter((name) => name.endsWith(".mjs"))
    .map((name) => `scripts/${name}`)
    .sort()

export const install = () => {
  const wanted = hash(["package-lock.json", "package.json"])
  const stamp = "node_modules/.rudder-relay-lock"
  if (stamped(stamp, wanted)) return
  console.error("Installing packages…")
  run("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], { stdio: ["ignore", 2, 2] })
  writeFileSync(join(top, stamp), wanted)
}

export const build = () => {
  const wanted = hash([
    ...sources(),
    "package.json",
    "package-lock.json",
    "tsconfig.json",
    "tsconfig.build.json",
    ...scripts()
  ])
  const stamp = "dist/.built-from"
  if (stamped(stamp, wanted)) return
  console.error("Building…")
  run(process.execPath, ["scripts/build.mjs"], { stdio: ["ignore", 2, 2] })
  writeFileSync(join(top, stamp), wanted)
}
