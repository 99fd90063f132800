/** Completions in the shells themselves, and the man page by the programs that show it. */
import { chmodSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { until } from "../support/Until.ts"
import {
  cleanUp,
  command,
  curl,
  main,
  nodes,
  prepare,
  program,
  type Relay,
  start
} from "./support/Program.ts"
import { endTerminals, terminal } from "./support/Terminal.ts"

const page = fileURLToPath(new URL("../../dist/rudder-relay.1", import.meta.url))

const id = "72d6bd8b-b1d6-4b62-8e2e-bbc0b2d0b4f9"
let relay: Relay
let folder = ""
let run = ""

/** Where the shells find the program, and which relay it asks. */
const environment = () => ({
  PATH: `${join(folder, "bin")}:${process.env.PATH}`,
  RUDDER_RELAY_URL: relay.origin,
  HOME: folder
})

beforeAll(async () => {
  folder = prepare()
  mkdirSync(join(folder, "bin"))
  symlinkSync(main, join(folder, "bin", "rudder-relay"))
  chmodSync(main, 0o755)
  mkdirSync(join(folder, "keys"))
  writeFileSync(join(folder, "keys", "some key.pem"), "")
  const behind = { hostname: "far.example.com", "policy-server": id }
  relay = await start({
    nodes: { ...nodes(2000), [id]: { hostname: "db.example.com", "policy-server": "root" }, far: behind }
  })
  const { body } = await curl("-d", "nodes=n1&output=keep", `${relay.url}/remote-run/nodes`)
  run = /"id":"([^"]+)"/.exec(body)?.[1] ?? ""
  for (const shell of ["bash", "zsh", "fish"])
    writeFileSync(join(folder, `completions.${shell}`), (await program("--completions", shell)).stdout)
})

afterAll(async () => {
  endTerminals()
  rmSync(folder, { recursive: true, force: true })
  await cleanUp()
})

/** A line that is typed, with a tab behind it, and what the screen then shows. */
type Case = readonly [typed: string, shows: RegExp]

/** What holds in a shell that completes in place, and lists what there are several of. */
const cases = (): ReadonlyArray<Case> => [
  ["rudder-relay sta", /rudder-relay status $/m],
  ["rudder-relay runs sh", /rudder-relay runs show $/m],
  ["rudder-relay runs list --st", /rudder-relay runs list --state $/m],
  ["rudder-relay runs list --state=run", /--state=running $/m],
  ["rudder-relay nodes show 72d6", new RegExp(`nodes show ${id} $`, "m")],
  ["rudder-relay nodes show db.", /nodes show db\.example\.com $/m],
  ["rudder-relay runs show ", new RegExp(`runs show ${run} $`, "m")],
  ["rudder-relay run n1 @al", /run n1 @all $/m],
  ["rudder-relay run @relay:", new RegExp(`run @relay:${id} $`, "m")],
  ["rudder-relay run @run:01", new RegExp(`run @run:${run}`, "m")],
  ["rudder-relay runs output x --node far,db.,72", new RegExp(`--node far,db\\.,${id} $`, "m")],
  ["rudder-relay runs output x --view ", /gather[\s\S]*ndjson/],
  ["rudder-relay run 'a b' -- --exc", /run 'a b' -- --exc *$/m],
  ["rudder-relay share --key keys/so", /--key keys\/some\\ key\.pem $/m]
]

const inShell = async (shell: ReadonlyArray<string>, setUp: ReadonlyArray<string>): Promise<void> => {
  const screen = terminal(["sh", "-c", 'cd "$HOME" && exec "$@"', "sh", ...shell], {
    columns: 150,
    rows: 50,
    env: environment()
  })
  await screen.shows(/[$#%] *$/m)
  let last: unknown
  for (const line of [...setUp, "clear; echo rea''dy"]) screen.press(`${line} `, "Enter")
  await screen.shows(/ready/)
  for (const [typed, shows] of cases()) {
    // A relay that does not answer at once is not waited for: on a busy machine the key is pressed again.
    await until(
      `${shell[0]}: ${typed}`,
      async () => {
        screen.press("C-u", "C-l")
        screen.press(typed)
        screen.press("Tab")
        return await screen.shows(shows, 6).catch((error) => {
          last = error
          return undefined
        })
      },
      40
    ).catch((error) => {
      throw new Error(`${error}: ${last}`)
    })
  }
}

describe("completion", () => {
  it("works in bash", async () => {
    await inShell(
      ["bash", "--norc", "--noprofile", "-i"],
      ["PS1='$ '", "bind 'set show-all-if-ambiguous on'", ". ./completions.bash"]
    )
  })

  it("works in zsh", async () => {
    await inShell(["zsh", "-f", "-i"], ["PS1='$ '", "setopt no_always_last_prompt", ". ./completions.zsh"])
  })

  it("works in fish", async () => {
    const complete = async (line: string) => {
      const { stdout } = await command("env", [
        ...Object.entries(environment()).map(([name, value]) => `${name}=${value}`),
        "fish",
        "--no-config",
        "-c",
        `cd ${folder}; source completions.fish; complete -C "${line}"`
      ])
      return stdout.split("\n").map((word) => word.split("\t")[0])
    }
    expect(await complete("rudder-relay sta")).toContain("status")
    expect(await complete("rudder-relay runs ")).toEqual(expect.arrayContaining(["list", "show", "cancel"]))
    expect(await complete("rudder-relay runs list --state=r")).toContain("--state=running")
    expect(await complete("rudder-relay runs show ")).toContain(run)
    expect(await complete("rudder-relay run @relay:")).toContain(`@relay:${id}`)
    expect(await complete("rudder-relay nodes show db.")).toContain("db.example.com")
    expect(await complete("rudder-relay runs output x --node far,72")).toContain(`far,${id}`)
    expect((await complete("rudder-relay share --key keys/")).join()).toContain("some")
    expect(await complete("rudder-relay run n199")).toContain("n1990")
  })

  it("offers what the program knows itself where no relay answers", async () => {
    const lost = ["--url", "http://127.0.0.1:1"]
    expect((await program("__complete", "nodes", "show", ...lost, "")).stdout).toBe("none\n")
    expect((await program("__complete", "runs", "list", ...lost, "--state", "r")).stdout).toContain("running")
  })

  it("offers 2,000 nodes about as fast as node starts", async () => {
    const millis = async (run: () => Promise<unknown>): Promise<number> => {
      const times: Array<number> = []
      for (let count = 0; count < 5; count++) {
        const began = performance.now()
        await run()
        times.push(performance.now() - began)
      }
      return Math.min(...times)
    }
    const offered = await program("__complete", "nodes", "show", "--url", relay.origin, "")
    expect(offered.stdout.split("\n")).toHaveLength(1 + 2 * 2002 + 1)
    const bare = await millis(() => command(process.execPath, ["-e", "0"]))
    const all = await millis(() => program("__complete", "nodes", "show", "--url", relay.origin, ""))
    console.log(`2,000 nodes are offered in ${Math.round(all)} ms; node alone takes ${Math.round(bare)} ms`)
    expect(all).toBeLessThan(bare * 10)
  })
})

describe("the man page", () => {
  it("is one for those who show it", async () => {
    expect(await command("mandoc", ["-Tlint", "-Wwarning", page])).toMatchObject({ code: 0, stdout: "" })
    expect(await command("groff", ["-man", "-ww", "-Tutf8", "-z", page])).toMatchObject({
      code: 0,
      stderr: ""
    })
    const { stdout } = await command("sh", ["-c", `MANWIDTH=80 man -P cat -l ${page}`])
    expect(stdout).toMatch(/rudder-relay runs output \[options\] RUN/)
    expect(Math.max(...stdout.split("\n").map((line) => line.length))).toBeLessThanOrEqual(90)
  })
})
