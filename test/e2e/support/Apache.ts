/** Debian's Apache in front of a relay, with what Rudder sets up for it, in a folder of its own. */
import { type ChildProcess, spawn } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { until } from "../../support/Until.ts"
import type { Identity } from "./Identities.ts"
import type { Relay } from "./Program.ts"

export interface Apache {
  /** Of HTTP and HTTPS. */
  readonly url: string
  readonly tlsUrl: string
  readonly tlsPort: number
}

export interface ApacheOptions {
  readonly relay: Relay
  readonly identity: Identity
  /** Seconds that a relay may be silent; Rudder's is the default. */
  readonly timeout?: number
  /** From where remote-run may be called, as far as Apache is concerned. */
  readonly remoteRunFrom?: string
}

const modules = [
  ...["mpm_event", "authn_core", "authz_core", "authz_host", "filter", "deflate", "proxy", "proxy_http"],
  ...["socache_shmcb", "ssl"]
]

const running = new Set<{ readonly child: ChildProcess; readonly directory: string }>()

/** Ports that were free a moment ago: Apache has no way to tell which one the system picked. */
const freePorts = async (count: number): Promise<ReadonlyArray<number>> => {
  const servers = Array.from({ length: count }, () => createServer())
  await Promise.all(servers.map((one) => new Promise<void>((resolve) => one.listen(0, "127.0.0.1", resolve))))
  const ports = servers.map((one) => {
    const address = one.address()
    return typeof address === "object" && address !== null ? address.port : 0
  })
  await Promise.all(servers.map((one) => new Promise((resolve) => one.close(resolve))))
  return ports
}

const configuration = (
  directory: string,
  [plain, tls]: ReadonlyArray<number>,
  { relay, identity, timeout = 300, remoteRunFrom = "127.0.0.0/8" }: ApacheOptions
): string => `
ServerRoot "${directory}"
PidFile "${directory}/pid"
DefaultRuntimeDir "${directory}"
Mutex file:${directory} default
ServerName localhost
ErrorLog "${directory}/error.log"
LogLevel notice
User www-data
Group www-data
${modules.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`).join("\n")}
Listen 127.0.0.1:${plain}
Listen 127.0.0.1:${tls}
AddOutputFilterByType DEFLATE text/plain text/html application/json application/x-ndjson
ProxyPass /rudder/relay-api/ ${relay.origin}/rudder/relay-api/1/
ProxyTimeout ${timeout}
<LocationMatch "^/rudder/relay-api/remote-run">
  Require ip ${remoteRunFrom}
</LocationMatch>
<VirtualHost 127.0.0.1:${tls}>
  SSLEngine on
  SSLCertificateFile "${identity.certificate}"
  SSLCertificateKeyFile "${identity.key}"
</VirtualHost>
`

/** Tried again when a port was taken by somebody else meanwhile. */
export const startApache = async (options: ApacheOptions, tries = 3): Promise<Apache> => {
  const directory = mkdtempSync(join(tmpdir(), "rudder-relay-apache-"))
  const ports = await freePorts(2)
  const [plain = 0, tls = 0] = ports
  writeFileSync(join(directory, "apache.conf"), configuration(directory, ports, options))
  const child = spawn("apache2", ["-DFOREGROUND", "-f", join(directory, "apache.conf")], {
    stdio: ["ignore", "ignore", "pipe"]
  })
  running.add({ child, directory })
  let said = ""
  child.stderr?.on("data", (bytes) => {
    said += bytes
  })
  const log = () => {
    const file = join(directory, "error.log")
    return existsSync(file) ? readFileSync(file, "utf8") : ""
  }
  const outcome = await until(`Apache listens: ${said}`, () =>
    child.exitCode !== null ? "ended" : log().includes("resuming normal operations") ? "listens" : undefined
  )
  if (outcome === "ended") {
    if (/Address already in use/.test(said) && tries > 1) return startApache(options, tries - 1)
    throw new Error(`Apache ended: ${said}${log()}`)
  }
  const path = "/rudder/relay-api"
  return { url: `http://127.0.0.1:${plain}${path}`, tlsUrl: `https://127.0.0.1:${tls}${path}`, tlsPort: tls }
}

export const stopApaches = async (): Promise<void> => {
  for (const { child, directory } of running) {
    if (child.exitCode === null && child.signalCode === null) {
      const exited = new Promise((resolve) => child.once("exit", resolve))
      child.kill("SIGTERM")
      await exited
    }
    rmSync(directory, { recursive: true, force: true })
  }
  running.clear()
}
