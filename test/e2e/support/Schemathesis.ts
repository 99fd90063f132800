/** Schemathesis, which makes requests of an API's description and holds each answer against it. */
import { createHash } from "node:crypto"
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { command, type Ended } from "./Program.ts"

const requirements = fileURLToPath(new URL("schemathesis.txt", import.meta.url))
const folder = fileURLToPath(new URL("../../../node_modules/.schemathesis", import.meta.url))

/** Minutes that anything of this may take. Milliseconds. */
export const patience = 10 * 60_000

const done = async (program: string, ...args: ReadonlyArray<string>): Promise<void> => {
  const { code, stdout, stderr } = await command(program, args, patience)
  if (code !== 0) throw new Error(`${program} ${args.join(" ")}: ${stdout}${stderr}`)
}

/** Installs it in an environment of its own, unless these very versions are there. */
export const installSchemathesis = async (): Promise<void> => {
  const wanted = createHash("sha256").update(readFileSync(requirements)).digest("hex")
  const stamp = join(folder, "installed")
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return
  rmSync(folder, { recursive: true, force: true })
  await done("python3", "-m", "venv", folder)
  await done(join(folder, "bin/pip"), "install", "-q", "--disable-pip-version-check", "-r", requirements)
  writeFileSync(stamp, wanted)
}

/** Runs it to its end, in a folder that it may write to. */
export const schemathesis = (directory: string, ...args: ReadonlyArray<string>): Promise<Ended> =>
  command("env", ["-C", directory, join(folder, "bin/schemathesis"), ...args], patience)
