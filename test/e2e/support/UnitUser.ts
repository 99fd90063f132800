/** A user as the relay's unit has one. Making it needs root. */
import { execFileSync } from "node:child_process"
import { randomInt } from "node:crypto"
import { rmSync } from "node:fs"
import { afterAll, beforeAll } from "vitest"

/** A user of the machine's, without a home and a shell. */
export interface UnitUser {
  readonly name: string
  /** Its number, as soon as tests run. */
  readonly uid: number
  /** A file that may say what sudo does for the user; it goes with the user. */
  readonly sudoers: string
  /** A command in front, which has what follows be the user's, without privileges. */
  readonly unprivileged: ReadonlyArray<string>
  /** The same with what the unit grants. */
  readonly withKill: ReadonlyArray<string>
}

const run = (program: string, ...args: ReadonlyArray<string>) =>
  execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }).trim()

/** A new one, for as long as the tests of the file take that asks for it. */
export const unitUser = (): UnitUser => {
  const name = `rudder-e2e-${randomInt(1_000_000)}`
  const sudoers = `/etc/sudoers.d/${name}`
  let uid = 0
  beforeAll(() => {
    run("useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", name)
    uid = Number(run("id", "-u", name))
  })
  afterAll(() => {
    rmSync(sudoers, { force: true })
    run("userdel", name)
  })
  const unprivileged = ["setpriv", `--reuid=${name}`, "--regid=nogroup", "--clear-groups"]
  return {
    name,
    get uid() {
      return uid
    },
    sudoers,
    unprivileged,
    withKill: [...unprivileged, "--inh-caps=+kill", "--ambient-caps=+kill"]
  }
}
