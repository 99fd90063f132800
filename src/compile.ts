/**
 * `dist/compile.js`: has the program compiled ahead by the node that runs this, so that its starts are faster. It serves a
 * relay in a temporary folder, asks it for what relays are asked for, and keeps what V8 made of the program meanwhile.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { request } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

/** Beside this file; its name says what is in it. */
declare const programFile: string

/** A relay that serves for longer is stopped. Milliseconds. */
const patience = 60_000

const folder = mkdtempSync(join(tmpdir(), "rudder-relay-compile-"))
process.once("exit", () => rmSync(folder, { recursive: true, force: true }))

writeFileSync(
  join(folder, "nodes.json"),
  JSON.stringify({ root: { hostname: "localhost", "policy-server": "root" } })
)
writeFileSync(
  join(folder, "main.conf"),
  `[general]
node_id = "root"
nodes_list_file = "${folder}/nodes.json"
nodes_certs_file = "${folder}/certificates.pem"
listen = "127.0.0.1:0"

[remote_run]
enabled = true
command = "/bin/true"
use_sudo = false
directory = "${folder}/runs"

[shared_files]
path = "${folder}/shared-files"
outbox = "${folder}/outbox"

[shared_folder]
path = "${folder}/shared-folder"

[log]
level = "info"
format = "json"
`
)

const ask = (port: string, method: string, path: string) =>
  new Promise<void>((resolve, reject) => {
    const asked = request({ port, path: `/rudder/relay-api/1/${path}`, method }, (answer) => {
      answer.on("end", resolve).on("error", reject).resume()
    })
    asked.on("error", reject).end()
  })

/** What every relay is asked for. */
const questions: ReadonlyArray<readonly [string, string]> = [
  ["GET", "system/info"],
  ["GET", "system/status"],
  ["HEAD", `shared-files/node/root/file?source-uuid=root&hash=${"0".repeat(128)}`],
  ["POST", "shared-files/node/root/file?source-uuid=root"],
  ["POST", "remote-run/node/root?output=keep"]
]

/** What the relay logs says where it listens. It is shown where this fails. */
const listening = new Promise<string>((resolve) => {
  let log = ""
  const write = process.stderr.write.bind(process.stderr)
  process.stderr.write = (text: Uint8Array | string) => {
    log += text.toString()
    const port = /"listening".*127\.0\.0\.1:(\d+)/.exec(log)?.[1]
    if (port !== undefined) resolve(port)
    return true
  }
  process.once("exit", (code) => {
    if (code !== 0) write(log)
  })
})

const main = fileURLToPath(new URL("main.cjs", import.meta.url))
const program = fileURLToPath(new URL(programFile, import.meta.url))
process.argv = [process.execPath, main, "serve", "--config", folder]
await import("./cli/FirstMoment.ts")
const { load, run, save } = await import("./cli/CompiledProgram.ts")
const script = load(program)
process.once("exit", (code) => {
  if (code === 0) save(program, script)
})
setTimeout(() => process.exit(1), patience).unref()
run(program, script)
const port = await listening
for (const [method, path] of questions) await ask(port, method, path)
process.kill(process.pid, "SIGTERM")
