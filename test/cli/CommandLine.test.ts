/** What a command line is taken for, and what is said where it is none. */
import { Args, Command, Options } from "@effect/cli"
import { describe, expect, it } from "@effect/vitest"
import { Either } from "effect"
import * as CommandLine from "../../src/cli/CommandLine.ts"
import * as CommandTree from "../../src/cli/CommandTree.ts"

const options = {
  limit: Options.integer("limit").pipe(Options.withAlias("n"), Options.optional),
  view: Options.choice("view", ["live", "gather"]).pipe(Options.withDefault("live")),
  exclude: Options.repeated(Options.text("exclude").pipe(Options.withPseudoName("T"))),
  json: Options.boolean("json"),
  quick: Options.boolean("quick").pipe(Options.withAlias("q"))
}
const config = Options.text("config").pipe(Options.withAlias("c"), Options.optional)

const list = Command.make("list", options)
const show = Command.make("show", { json: options.json, id: Args.text({ name: "ID" }) })
const key = Options.text("key").pipe(Options.withPseudoName("PEM"))
const many = Command.make("many", {
  ...options,
  key,
  targets: Args.atLeast(Args.text({ name: "TARGET" }), 1)
})
const program = CommandTree.of(
  Command.make("relay", { config }).pipe(
    Command.withSubcommands([
      Command.make("check", { config }),
      many,
      Command.make("runs", options).pipe(Command.withSubcommands([list, show]))
    ])
  )
)

const parse = (line: string) => Either.merge(CommandLine.parse(program, line === "" ? [] : line.split(" ")))

const call = (line: string) => {
  const found = parse(line)
  return typeof found === "string" || found._tag !== "Call" ? found : found.args.join(" ")
}

describe("a command line that calls a command", () => {
  it("is the command, its options and its operands, in this order, whatever the order was", () => {
    expect(call("")).toBe("")
    expect(call("check")).toBe("check")
    expect(call("runs")).toBe("runs")
    expect(call("runs list --limit 5 --json")).toBe("runs list --limit 5 --json")
    expect(call("runs show x --json")).toBe("runs show --json -- x")
    expect(call("many a --key p b --exclude c --exclude=d")).toBe(
      "many --exclude c --exclude d --key p -- a b"
    )
  })

  it("takes no value for a command, no operand for a switch's value, and `-` for an operand", () => {
    expect(call("-c check")).toBe("--config check")
    expect(call("-c check check")).toBe("check --config check")
    expect(call("many --key list --json yes")).toBe("many --json --key list -- yes")
    expect(call("many --key p -")).toBe("many --key p -- -")
    expect(call("runs show -- --json")).toBe("runs show -- --json")
    expect(call("runs show runs")).toBe("runs show -- runs")
  })

  it("knows letters, alone and together, with their values behind or attached", () => {
    expect(call("runs -n 5 -q")).toBe("runs --limit 5 --quick")
    expect(call("runs -qn5")).toBe("runs --limit 5 --quick")
    expect(call("-cDIR")).toBe("--config DIR")
    expect(call("runs -n -5")).toBe("runs --limit -5")
  })

  it("keeps a value as it is", () => {
    const parsed = CommandLine.parse(program, ["many", "--key=a=b", "--exclude", " x ", "", "--json"])
    expect(Either.getOrThrow(parsed)).toMatchObject({
      args: ["many", "--exclude", " x ", "--json", "--key", "a=b", "--", ""]
    })
  })

  it("has options that are said before a command behind it, where it knows them", () => {
    expect(call("runs --limit 4 list")).toBe("runs list --limit 4")
    expect(call("runs --limit 4 show x")).toBe(
      "relay runs show: no option --limit; relay runs show --help says what there is"
    )
    expect(call("-c DIR runs")).toMatch(/^relay runs: no option --config;/)
  })
})

describe("a command line that asks for help, version or completions", () => {
  it("may do so at any command, complete or not", () => {
    expect(parse("--help")).toEqual({ _tag: "Help", path: [] })
    expect(parse("runs show -h")).toEqual({ _tag: "Help", path: ["runs", "show"] })
    expect(parse("--help many")).toEqual({ _tag: "Help", path: ["many"] })
    expect(parse("-V")).toEqual({ _tag: "Version" })
    expect(parse("--version")).toEqual({ _tag: "Version" })
    expect(parse("--completions zsh")).toEqual({ _tag: "Completions", shell: "zsh" })
  })

  it("is not one of a command that has no such option", () => {
    expect(parse("runs --version")).toContain("relay runs: no option --version")
    expect(call("runs show -- --help")).toBe("runs show -- --help")
  })
})

describe("what is said of a wrong command line", () => {
  it.each([
    ["lits", 'relay: no command "lits"; relay --help says what there is'],
    ["rums", 'relay: no command "rums"; did you mean runs?'],
    ["runs lits", 'relay runs: no command "lits"; did you mean list?'],
    ["runs list --lmit 4", "relay runs list: no option --lmit; did you mean --limit?"],
    ["--bogus", "relay: no option --bogus; relay --help says what there is"],
    ["--limit 4 runs", "relay: no option --limit; it stands behind a command that has it"],
    ["--wizard", "relay: no option --wizard; relay --help says what there is"],
    ["--log-level debug", "relay: no option --log-level; relay --help says what there is"],
    ["runs -x", "relay runs: no option -x"],
    ["runs --limit", "relay runs: --limit needs a value: N"],
    ["runs --limit five", 'relay runs: --limit is a whole number, not "five"'],
    ["runs --limit 5 -n 6", "relay runs: -n is there twice, and counts once"],
    ["runs --view gathr", 'relay runs: --view is one of live, gather, not "gathr"; did you mean gather?'],
    ["runs --json=yes", "relay runs: --json takes no value"],
    ["runs show", "relay runs show: it needs ID"],
    ["runs show a b", 'relay runs show: it takes ID alone: "b" is too much'],
    ["runs list a", 'relay runs list: it takes nothing but options: "a" is too much'],
    ["many", "relay many: it needs --key PEM, TARGET"],
    ["--completions csh", "relay: --completions is one of bash, zsh, fish"]
  ])("%s", (line, expected) => {
    const found = parse(line)
    expect(found).toBeTypeOf("string")
    expect(found).toContain(expected)
  })
})
