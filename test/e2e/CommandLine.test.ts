/** What is said to the program, and how it answers where no relay is involved. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterEach, describe, expect, it } from "vitest"
import { cleanUp, command, main, prepare, program, start } from "./support/Program.ts"

afterEach(cleanUp)

describe("what relayd's unit and scripts say", () => {
  it("-c DIR alone serves, -t besides checks, -V is the version", async () => {
    const directory = prepare()
    expect((await program("-V")).stdout).toMatch(/^\d+\.\d+\.\d+\s*$/)
    const checked = await program("-t", "-c", directory)
    expect(checked).toMatchObject({ code: 0, stdout: `${directory}: the configuration is valid\n` })
    writeFileSync(join(directory, "main.conf"), "listen")
    for (const args of [
      ["-c", directory],
      ["-c", directory, "-t"],
      ["-c", directory, "check"],
      ["check", "-c", directory],
      ["serve", "--config", directory]
    ]) {
      const { code, stderr } = await program(...args)
      expect(code).toBe(2)
      expect(stderr).toContain(`${directory}/main.conf:1`)
    }
  })

  it("-c DIR serves until it is ended", async () => {
    const relay = await start({ command: ["-c"] })
    expect(await relay.stop()).toBe(0)
  })

  it("nothing is meant of relayd's own folder", async () => {
    const ended = await program("check")
    expect(ended.stdout + ended.stderr).toContain("/opt/rudder/etc/relayd")
  })
})

describe("the help", () => {
  const inTerminal = (environment: string) =>
    command("script", ["-qec", `${environment} ${process.execPath} ${main} --help`, "/dev/null"])

  it("has colours on a terminal, and none in a pipe or where NO_COLOR is set", async () => {
    expect((await program("--help")).stdout).not.toContain("\u001b")
    expect((await program("--bogus")).stderr).not.toContain("\u001b")
    expect((await inTerminal("NO_COLOR=1")).stdout).not.toContain("\u001b[")
    expect((await inTerminal("env -u NO_COLOR")).stdout).toContain("\u001b[")
  })
})
