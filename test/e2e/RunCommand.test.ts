/** `rudder-relay run` against a relay with 300 nodes, in a pipe and in a terminal. */
import { spawn } from "node:child_process"
import { rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest"
import { until } from "../support/Until.ts"
import { cleanUp, command, curl, events, main, nodes, program, type Relay, start } from "./support/Program.ts"
import { endTerminals, terminal } from "./support/Terminal.ts"

/** With the class `hold` an agent waits for the file `go` beside it. */
const agent = `
case $classes in *hold*) while [ ! -e "\${0%/*}/go" ]; do sleep 0.2; done;; esac
echo "Start execution"
case $host in
  n7.*|n8.*) echo "special";;
  n9.*) printf '\\033[31mred\\033[0m\\033[2J\\n';;
  n13.*|n14.*|n113.*) echo "error: no policy" >&2; exit 3;;
esac
echo "done"
`

const count = 300
let relay: Relay
const go = () => join(relay.directory, "go")

beforeAll(async () => {
  relay = await start({
    agent,
    nodes: {
      ...nodes(count),
      edge: { hostname: "edge.example.com", "policy-server": "root" },
      shop1: { hostname: "shop1.example.com", "policy-server": "edge" },
      shop2: { hostname: "shop2.example.com", "policy-server": "edge" }
    },
    config: { remote_run: { allowed_classes: ["hold", "audit"] } }
  })
})
beforeEach(() => rmSync(go(), { force: true }))
afterEach(endTerminals)
afterAll(cleanUp)

const run = (...args: ReadonlyArray<string>) => program("run", ...args, "--url", relay.origin)
const inTerminal = (args: ReadonlyArray<string>, options?: Parameters<typeof terminal>[1]) =>
  terminal([process.execPath, main, "run", ...args, "--url", relay.origin], options)

/** Runs of the relay, newest first. */
const runs = async () => {
  const page = JSON.parse((await curl(`${relay.url}/remote-run/runs?limit=1000`)).body)
  return page.runs as ReadonlyArray<{ readonly id: string; readonly running: number; readonly by: unknown }>
}
const stateOf = async (id: string) => JSON.parse((await curl(`${relay.url}/remote-run/runs/${id}`)).body)
const idIn = (text: string) => /run ([0-9a-f-]{36})/.exec(text)?.[1] ?? "none"

const rule = "---------------\n"
const block = (head: string, ...lines: ReadonlyArray<string>) =>
  `${rule}${head}\n${rule}${lines.map((line) => `${line}\n`).join("")}`
const failures = (...lines: ReadonlyArray<string>) =>
  block("n[13-14,113].example.com (3): code 3", ...lines, "stderr: error: no policy")
const summary = /^run [0-9a-f-]{36}: (\d+ ok, \d+ failed), \d+:\d\d$/
const lastLine = (text: string) => text.trimEnd().split("\n").at(-1) ?? ""

describe("in a pipe", () => {
  it("a run's id comes first, then lines as they come, then a summary; 0 when all is well", async () => {
    const { code, stdout, stderr } = await run(
      "n0",
      "n7.example.com",
      "--classes",
      "audit",
      "--reason",
      "CHG 1"
    )
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
    const lines = stdout.trimEnd().split("\n")
    const id = idIn(stdout)
    expect(lines[0]).toBe(`run ${id}: 2 nodes`)
    expect(lines.slice(1, -1).sort()).toEqual(
      ["n0.example.com: Start execution", "n0.example.com: done"]
        .concat(["Start execution", "done", "special"].map((line) => `n7.example.com: ${line}`))
        .sort()
    )
    expect(summary.exec(lines.at(-1) ?? "")?.[1]).toBe("2 ok, 0 failed")
    expect(await stateOf(id)).toMatchObject({
      classes: ["audit"],
      by: { reason: "CHG 1", actor: expect.stringMatching(/./) }
    })
  })

  it("nodes that failed come last, with their stderr, and the command ends with 1", async () => {
    const { code, stdout, stderr } = await run("n13", "n14", "n113", "n9")
    expect(code).toBe(1)
    expect(stdout).not.toContain("\u001b")
    expect(stdout).toContain("n9.example.com: red\n")
    expect(stdout.slice(stdout.indexOf(rule), stdout.lastIndexOf("run "))).toBe(failures())
    expect(stderr).toContain("n13.example.com: error: no policy\n")
    expect(summary.exec(lastLine(stdout))?.[1]).toBe("1 ok, 3 failed")
  })

  it("nodes with the same output are gathered under folded names", async () => {
    const { code, stdout, stderr } = await run("n[0-299].example.com", "--view", "gather")
    expect({ code, stderr }).toEqual({ code: 1, stderr: "" })
    expect(stdout).toBe(
      [
        `run ${idIn(stdout)}: 300 nodes\n`,
        block("n[0-6,10-12,15-112,114-299].example.com (294)", "Start execution", "done"),
        block("n[7-8].example.com (2)", "Start execution", "special", "done"),
        block("n9.example.com (1)", "Start execution", "red", "done"),
        failures("Start execution"),
        `${lastLine(stdout)}\n`
      ].join("")
    )
    expect(summary.exec(lastLine(stdout))?.[1]).toBe("297 ok, 3 failed")
  })

  it("--diff shows how the others differ from the largest group", async () => {
    const { code, stdout } = await run("n[0-14].example.com", "--diff")
    expect(code).toBe(1)
    const most = "n[0-6,10-12].example.com"
    expect(stdout).toContain(block(`${most} (10)`, "Start execution", "done"))
    expect(stdout).toContain(
      block(
        "n[7-8].example.com (2)",
        `--- ${most}`,
        "+++ n[7-8].example.com",
        "@@ -1,2 +1,3 @@",
        " Start execution",
        "+special",
        " done"
      )
    )
    expect(stdout.indexOf("-done")).toBeGreaterThan(stdout.indexOf("+special"))
    expect(stdout).toContain("stderr: error: no policy\nrun ")
  })

  it("quiet has the failures and the summary alone", async () => {
    const { stdout, stderr } = await run(
      "@all",
      "--exclude",
      "@relay:edge",
      "--exclude",
      "edge",
      "--view",
      "quiet"
    )
    expect(stderr).toBe("")
    expect(stdout).toBe(`run ${idIn(stdout)}: 300 nodes\n${failures()}${lastLine(stdout)}\n`)
  })

  it("ndjson is the relay's own events", async () => {
    const { code, stdout } = await run("n7", "n13", "--view", "ndjson")
    expect(code).toBe(1)
    const [first] = events(stdout)
    const { body } = await curl(`${relay.url}/remote-run/runs/${first?.id}/output?format=ndjson`)
    expect(stdout).toBe(body)
  })

  it("a reader that leaves ends it without a word, and the run goes on", async () => {
    const script = `"$@" | head -1; echo "\${PIPESTATUS[0]}"`
    const { stdout, stderr } = await command("bash", [
      ...["-c", script, "bash", process.execPath, main, "run", "n[0-99].example.com", "--url", relay.origin]
    ])
    expect(stdout).toMatch(/^run [0-9a-f-]{36}: 100 nodes\n141\n$/)
    expect(stderr.replaceAll(/^(rudder-relay: )?n1?1[34]\.example\.com: .*\n/gm, "")).toBe("")
    await until("the run is over", async () => (await stateOf(idIn(stdout))).ok === 98)
  })

  it("--async prints the run's id and leaves; --preview runs nothing", async () => {
    const { code, stdout } = await run("n1", "--classes", "hold", "--async")
    expect(code).toBe(0)
    const id = stdout.trim()
    expect(await stateOf(id)).toMatchObject({ nodes: 1, ok: 0 })
    writeFileSync(go(), "")
    await until("the run is over", async () => (await stateOf(id)).ok === 1)
    const before = (await runs()).length
    const preview = await run("@relay:edge", "--preview")
    expect(preview).toMatchObject({ code: 0, stderr: "" })
    expect(preview.stdout).toBe(
      [
        "BATCH  NODE   HOST NAME          VIA",
        "1      shop1  shop1.example.com  edge",
        "1      shop2  shop2.example.com  edge",
        ""
      ].join("\n")
    )
    expect(JSON.parse((await run("n1", "--preview", "--json")).stdout)).toMatchObject({
      nodes: [{ node: "n1" }]
    })
    expect(await runs()).toHaveLength(before)
  })
})

describe("targets", () => {
  const chosen = async (...args: ReadonlyArray<string>) => {
    const { code, stdout, stderr } = await run(...args, "--preview", "--json")
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
    return JSON.parse(stdout).nodes.map(({ node }: { node: string }) => node)
  }

  it("are ids, host names, globs, folded names, and what stands behind a relay", async () => {
    expect(await chosen("n2", "N1.example.com", "shop?", "n2")).toEqual(["n2", "n1", "shop1", "shop2"])
    expect(await chosen("n[3-4,9],edge", "--exclude", "n4*")).toEqual(["n3", "n9", "edge"])
    expect(await chosen("@relay:edge", "--exclude", "shop1.example.com")).toEqual(["shop2"])
    expect(await chosen("@all")).toHaveLength(count + 3)
  })

  it("are a run's nodes, or those of them that failed", async () => {
    const id = idIn((await run("n1", "n13", "n14", "--view", "quiet")).stdout)
    expect(await chosen(`@run:${id}`)).toEqual(["n1", "n13", "n14"])
    expect(await chosen(`@run:${id}:failed`)).toEqual(["n13", "n14"])
    expect((await run(`@run:${id}:failed`, "--exclude", "n13", "--view", "quiet")).code).toBe(1)
  })

  it("come from stdin for a dash, and may be left out so too", async () => {
    const piped = (text: string, ...args: ReadonlyArray<string>) =>
      command("sh", [
        ...["-c", 'printf "%b" "$1" | { shift; "$@"; }', "sh", text, process.execPath, main, "run"],
        ...[...args, "--preview", "--json", "--url", relay.origin]
      ])
    const nodesOf = ({ stdout }: { stdout: string }) =>
      JSON.parse(stdout).nodes.map(({ node }: { node: string }) => node)
    expect(nodesOf(await piped("n1 n2 # all\\n\\nn3\\n", "-", "--exclude", "n2"))).toEqual(["n1", "n3"])
    expect(nodesOf(await piped("n2\\n", "n[1-3]", "--exclude", "-"))).toEqual(["n1", "n3"])
    expect(await piped("\\n", "-")).toMatchObject({ code: 2, stdout: "" })
  })

  it("that mean nothing, and options that are none, end it with 2 before anything runs", async () => {
    const before = (await runs()).length
    for (const [args, message] of [
      [["n1", "nobody", "x*"], "no node is meant by nobody, x*"],
      [["n1", "--exclude", "nobody"], "no node is meant by nobody"],
      [["n1", "--exclude", "n1"], "no node is left"],
      [["n1", "--canry", "2"], "--canry"],
      [["n1", "--view", "quiet", "--view", "live"], "--view"],
      [["@relais:edge"], "@relay:ID"],
      [["n1", "--batch", "many"], "--batch"],
      [["n1", "--classes", "a b"], "--classes"],
      [["n1", "--batch-wait", "soon"], "--batch-wait"],
      [["n1", "--diff", "--view", "quiet"], "--diff"]
    ] as const) {
      const { code, stdout, stderr } = await run(...args)
      expect({ args, code, stdout }).toEqual({ args, code: 2, stdout: "" })
      expect(stderr).toContain(message)
    }
    expect(await runs()).toHaveLength(before)
  })
})

describe("a relay that can't be asked, or refuses, ends it with 4 and says what to do", () => {
  it("that is down", async () => {
    const { code, stdout, stderr } = await program("run", "n1", "--url", "http://127.0.0.1:1")
    expect({ code, stdout }).toEqual({ code: 4, stdout: "" })
    expect(stderr).toMatch(/^rudder-relay: no answer from http:\/\/127.0.0.1:1: .*ECONNREFUSED.*--url.*\n$/)
  })

  it("that refuses", async () => {
    const { code, stdout, stderr } = await run("n1", "--classes", "reboot")
    expect({ code, stdout }).toEqual({ code: 4, stdout: "" })
    expect(stderr).toMatch(/^rudder-relay: .* refused: classes: expected classes that .*\n$/)
    expect(await run("@run:0190")).toMatchObject({
      code: 4,
      stderr: expect.stringContaining("no run's id begins with 0190")
    })
  })
})

describe("in a terminal", () => {
  const lastShown = (text: string) => text.trimEnd().split("\n").at(-1) ?? ""

  it("one line of progress stays below the output, and goes when the run is over", async () => {
    const screen = inTerminal(["n[0-299].example.com", "--classes", "hold"], { columns: 110 })
    await screen.shows(/250 waiting, 50 running, 0 ok, 0 failed, 0:\d\d elapsed/)
    writeFileSync(go(), "")
    await until("the progress stands below lines of output", () => {
      const lines = screen.text().trimEnd().split("\n")
      return (
        /^\d+ waiting, \d+ running, \d+ ok, \d+ failed, .*ends in about/.test(lines.at(-1) ?? "") &&
        lines.slice(0, -1).some((line) => /^n\d+\.example\.com: done/.test(line))
      )
    })
    const all = await screen.shows(/ended with 1/)
    expect(all).not.toMatch(/waiting/)
    expect(all.match(/^n\d+\.example\.com: done$/gm)).toHaveLength(297)
    expect(all).toContain(failures().trimEnd())
    expect(lastShown(all.slice(0, all.indexOf("ended with")))).toMatch(summary)
  })

  it("gathers, and has colours where they are wanted", async () => {
    const gathered = inTerminal(["n[0-14].example.com", "--diff"])
    await gathered.shows(/ended with 1/)
    expect(gathered.colours()).toMatch(/\u001b\[31mn\[13-14\]\.example\.com \(2\): code 3/)
    expect(gathered.colours()).toMatch(/\u001b\[32m\+special/)
    const plain = inTerminal(["n[0-14].example.com"], { env: { NO_COLOR: "1" } })
    const all = await plain.shows(/ended with 1/)
    expect(all).toContain("n9.example.com: red\n")
    expect(plain.colours()).not.toMatch(/\u001b\[3\dm/)
  })

  it("fits a narrow one, and the line of progress is one line", async () => {
    const screen = inTerminal(["n[0-99].example.com", "--classes", "hold", "--view", "quiet"], {
      columns: 30
    })
    await screen.shows(/^50w 50r 0ok 0f 0:\d\d/m)
    await screen.shows(/^50w 50r 0ok 0f 0:0[1-9]/m)
    expect(screen.text().match(/50w/g)).toHaveLength(1)
    writeFileSync(go(), "")
    await screen.shows(/ended with 1/)
  })

  it("Ctrl-C says that the run goes on and how to follow or cancel it, and leaves", async () => {
    const screen = inTerminal(["n[0-2].example.com", "--classes", "hold"])
    const id = idIn(await screen.shows(/3 running/))
    screen.press("C-c")
    const said = await screen.shows(/to cancel it/)
    expect(said).toContain("The run goes on.")
    expect(said).toContain(`rudder-relay runs output ${id} --url ${relay.origin}`)
    expect(said).toContain(`rudder-relay runs cancel ${id} --url ${relay.origin}`)
    await screen.shows(/ended with 130/)
    expect(await stateOf(id)).toMatchObject({ running: 3 })
    writeFileSync(go(), "")
    await until("the run is over", async () => (await stateOf(id)).ok === 3)
  })

  it("a second Ctrl-C cancels the run and leaves", async () => {
    const screen = inTerminal(["n[0-59].example.com", "--classes", "hold"])
    const id = idIn(await screen.shows(/50 running/))
    screen.press("C-c")
    await screen.shows(/to cancel it/)
    screen.press("C-c")
    await screen.shows(/is cancelled(.|\n)*ended with 130/)
    await until("all have their end", async () => (await stateOf(id)).failed === 60)
    expect((await stateOf(id)).states.every(({ cancelled }: { cancelled?: true }) => cancelled)).toBe(true)
  })
})

describe("a request to end", () => {
  it("leaves the run, and says so", async () => {
    const child = spawn(process.execPath, [
      ...[main, "run", "n1", "--classes", "hold", "--url", relay.origin]
    ])
    let [stdout, stderr] = ["", ""]
    child.stdout.on("data", (bytes) => {
      stdout += bytes
    })
    child.stderr.on("data", (bytes) => {
      stderr += bytes
    })
    const exited = new Promise((resolve) => child.once("exit", resolve))
    await until("the run is started", () => idIn(stdout) !== "none")
    child.kill("SIGTERM")
    expect(await exited).toBe(143)
    expect(stderr).toContain(`rudder-relay runs output ${idIn(stdout)}`)
    expect((await stateOf(idIn(stdout))).states).toMatchObject([{ node: "n1" }])
    writeFileSync(go(), "")
    await until("the run is over", async () => (await stateOf(idIn(stdout))).ok === 1)
  })
})
