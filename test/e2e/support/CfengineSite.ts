/** What each suite with real agents begins with: a folder for hosts, and a user for relays. */
import { chmodSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll } from "vitest"
import { type DaemonUser, daemonUser, endServers, type Host, host } from "./Cfengine.ts"
import { removeIdentities } from "./Identities.ts"
import { cleanUp, type Relay } from "./Program.ts"

/** Where a suite's hosts and relays are. */
export interface Site {
  /** Others may look into it, as the relay's user has to. */
  readonly folder: string
  /** Whom relays run as. */
  readonly user: DaemonUser
  /** Makes a host with a new key, in a folder of that name. */
  readonly host: (name: string) => Host
}

/**
 * Makes a site before the tests of a file, and gives it to `begin`. After the tests the relay that `begin` gave is
 * stopped, and what is left of relays, cf-serverds, identities, user and folder goes too, also where `begin` failed.
 */
export const onSite = (begin: (site: Site) => Promise<Relay | undefined>): void => {
  let folder: string | undefined
  let user: DaemonUser | undefined
  let relay: Relay | undefined
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "rudder-relay-cfengine-"))
    chmodSync(folder, 0o755)
    user = daemonUser()
    const top = folder
    relay = await begin({ folder, user, host: (name) => host(join(top, name)) })
  })
  afterAll(async () => {
    try {
      await relay?.stop()
    } finally {
      await cleanUp()
      await endServers()
      user?.remove()
      removeIdentities()
      if (folder !== undefined) rmSync(folder, { recursive: true, force: true })
    }
  })
}

/** A host's node as the nodes list of its policy server has it. */
export const nodeOf = ({ keyHash }: Host) => ({
  hostname: "node.example.com",
  "policy-server": "root",
  "key-hash": keyHash
})
