/** Help, examples and the man page of every command. */
import { describe, expect, it } from "@effect/vitest"
import { Either } from "effect"
import * as CommandLine from "../../src/cli/CommandLine.ts"
import * as CommandTree from "../../src/cli/CommandTree.ts"
import * as Help from "../../src/cli/Help.ts"
import * as HelpText from "../../src/cli/HelpText.ts"
import * as ManPage from "../../src/cli/ManPage.ts"
import { tree } from "../../src/cli/ProgramTree.ts"
import * as TextWidth from "../../src/cli/TextWidth.ts"

const all = CommandTree.all(tree)
const help = (path: ReadonlyArray<string>, width = 80) => Help.render(tree, path, { width, colours: false })

/** Words of an example, as a shell has them. */
const wordsOf = (line: string): ReadonlyArray<string> =>
  Array.from(line.matchAll(/'([^']*)'|(\S+)/g), ([, quoted, bare]) => quoted ?? bare ?? "")

describe("the help", () => {
  it("says something of every command, and nothing of others", () => {
    expect([...HelpText.known].sort()).toEqual(all.map(({ path }) => path.join(" ")).sort())
    for (const { path, command } of all) {
      expect(command.description, path.join(" ")).not.toBe("")
      expect(HelpText.of(path).examples.length, path.join(" ")).toBeGreaterThan(0)
      for (const { description, names } of command.options) expect(description, names.join()).not.toBe("")
      for (const { description, name } of command.operands) expect(description, name).not.toBe("")
    }
  })

  it("has examples that are command lines of that command", () => {
    for (const { path } of all)
      for (const [line] of HelpText.of(path).examples.filter(([line]) => line.startsWith("rudder-relay "))) {
        const words = wordsOf(line.replace(/ \|\|.*/, "")).slice(1)
        const parsed = Either.merge(CommandLine.parse(tree, words))
        expect(parsed, line).toMatchObject({ _tag: "Call" })
        if (path.length > 0 && typeof parsed === "object") expect(parsed, line).toMatchObject({ path })
      }
  })

  it("is readable at 80 columns, and at others", () => {
    for (const { path } of all)
      for (const width of [80, 120, 200]) {
        expect(help(path, width).filter((line) => TextWidth.of(line) > Math.min(width, 100))).toEqual([])
      }
  })

  it("has no colour codes but where it may have them", () => {
    expect(help([]).join("\n")).not.toContain("\u001b")
    expect(Help.render(tree, [], { width: 80, colours: true }).join("\n")).toContain(
      "\u001b[1mUsage\u001b[0m"
    )
  })

  it("has only options that work, with environment and exit codes", () => {
    const text = all.map(({ path }) => help(path).join("\n")).join("\n")
    expect(text).not.toMatch(/--wizard|--log-level/)
    expect(help(["status"]).join("\n")).toMatch(
      /RUDDER_RELAY_URL[\s\S]*Exit codes[\s\S]*1 {2}A part of the relay[\s\S]*4 {2}The relay/
    )
    expect(help(["serve"]).join("\n")).toMatch(/Exit codes[\s\S]*3 {2}It can't start/)
    expect(help(["serve"]).join("\n")).not.toContain("RUDDER_RELAY_URL")
  })
})

describe("the man page", () => {
  const page = ManPage.render(tree, "1.2.3", "2026-01-05")

  it("has every command with its options", () => {
    expect(page).toMatch(/^\.TH RUDDER\\-RELAY 1 2026-01-05 "rudder-relay 1\.2\.3"/)
    for (const { path, command } of all.slice(1)) {
      const heading = [tree.name, ...path].map(ManPage.escape).join(" ")
      expect(page, heading).toContain(`.SS \\fB${heading} `)
      for (const { names } of command.options)
        expect(page).toContain(`\\fB${ManPage.escape(names[0] ?? "")}\\fR`)
    }
  })

  it("has no line that roff would take for a command of its own", () => {
    const requests = new Set(
      page
        .split("\n")
        .filter((line) => /^[.']/.test(line))
        .map((line) => line.split(" ")[0])
    )
    expect([...requests].sort()).toEqual([
      ".PP",
      ".RE",
      ".RS",
      ".SH",
      ".SS",
      ".TH",
      ".TP",
      ".br",
      ".fi",
      ".nf"
    ])
    expect(ManPage.escape("a\\b 'c' --d…")).toBe("a\\(rsb \\(aqc\\(aq \\-\\-d\\&...")
  })
})
