/** What may stand where a command line is being typed. */
import { describe, expect, it } from "@effect/vitest"
import * as Candidates from "../../src/cli/Candidates.ts"
import * as CommandTree from "../../src/cli/CommandTree.ts"
import { tree } from "../../src/cli/ProgramTree.ts"

const at = (line: string) => Candidates.of(tree, line.split(" "))
const words = (line: string) => at(line).words.map(({ word }) => word)

describe("completion", () => {
  it("offers commands, and those below a command", () => {
    expect(words("")).toEqual(CommandTree.all(tree).flatMap(({ path }) => (path.length === 1 ? path : [])))
    expect(words("s")).toEqual(["serve", "sandbox", "share", "status"])
    expect(words("runs ")).toEqual(["list", "show", "output", "retry", "cancel"])
    expect(words("runs sh")).toEqual(["show"])
  })

  it("offers the options of the command, but for those that are there already", () => {
    expect(words("runs list --st")).toEqual(["--state"])
    expect(words("-")).toContain("--completions")
    expect(words("status -")).not.toContain("--completions")
    expect(words("runs list --json --j")).toEqual([])
    expect(words("run x --exclude a --exc")).toEqual(["--exclude"])
    expect(words("status ")).toContain("--json")
  })

  it("offers the values of an option, behind it or attached, and not where an operand is", () => {
    expect(words("runs list --state ")).toEqual(["running", "ended"])
    expect(at("runs list --state=r")).toMatchObject({ kept: "--state=", typed: "r" })
    expect(words("runs list --state=r")).toEqual(["running"])
    expect(words("--completions ")).toEqual(["bash", "zsh", "fish"])
    expect(words("run -- --st")).toEqual([])
  })

  it("offers the next part of a list", () => {
    const found = at("runs retry --only failed,sk")
    expect(found).toMatchObject({ kept: "failed,", typed: "sk" })
    expect(found.words.map(({ word }) => word)).toEqual(["skipped"])
    expect(at("runs output x --node a,b")).toMatchObject({ kept: "a,", typed: "b", kind: "nodes" })
  })

  it.each([
    ["run ", "targets"],
    ["run a b", "targets"],
    ["run --exclude ", "targets"],
    ["runs show ", "runs"],
    ["runs list --before ", "runs"],
    ["runs list --node ", "nodes"],
    ["nodes show ", "nodes"],
    ["share --source ", "ids"],
    ["share --key ", "files"],
    ["share --source a --target b --key k ", "files"],
    ["check -c ", "folders"],
    ["sandbox --directory=", "folders"],
    ["files delete ", "stored"],
    ["outbox delete ", "entries"],
    ["status --url ", undefined],
    ["runs show x ", undefined]
  ])("knows what stands behind `%s`", (line, kind) => {
    expect(at(line).kind).toBe(kind)
  })

  it("knows which relay is asked, whatever else is wrong with the line", () => {
    const { relay, kind } = at("runs show --bogus --limit --url http://x:1 --cacert=ca.pem ")
    expect(kind).toBe("runs")
    expect(relay.get("url")).toBe("http://x:1")
    expect(relay.get("cacert")).toBe("ca.pem")
  })
})
