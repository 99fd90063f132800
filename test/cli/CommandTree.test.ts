/** What is read from the commands of `@effect/cli`: every kind of option and argument that it has. */
import { Args, Command, Options } from "@effect/cli"
import { describe, expect, it } from "@effect/vitest"
import { Config, Schema } from "effect"
import * as CommandTree from "../../src/cli/CommandTree.ts"

const optionsOf = (options: Record<string, Options.Options<unknown>>) =>
  CommandTree.of(Command.make("x", options)).options
const operandsOf = (args: Record<string, Args.Args<unknown>>) =>
  CommandTree.of(Command.make("x", args)).operands

const any = { choices: [], isInteger: false }

describe("a tree of commands", () => {
  it("has an option's names, value, description, and how often it may stand", () => {
    const text = Options.text("text").pipe(Options.withAlias("t"), Options.withDescription("What. And more."))
    expect(optionsOf({ text })).toEqual([
      {
        names: ["--text", "-t"],
        value: { ...any, name: "TEXT" },
        description: "What. And more.",
        isRequired: true,
        mayRepeat: false
      }
    ])
    const kinds = optionsOf({
      a: Options.optional(text),
      b: Options.withDefault(text, "b"),
      c: Options.repeated(text),
      d: Options.atLeast(text, 1),
      e: Options.withFallbackConfig(text, Config.string("X")),
      f: Options.withSchema(text, Schema.NonEmptyString),
      g: Options.atMost(text, 1)
    })
    expect(kinds.map(({ isRequired, mayRepeat }) => [isRequired, mayRepeat])).toEqual([
      [false, false],
      [false, false],
      [false, true],
      [true, true],
      [false, false],
      [true, false],
      [false, false]
    ])
  })

  it("has what a value is", () => {
    const named = Options.text("a").pipe(Options.withPseudoName("DIR"))
    const found = optionsOf({
      named,
      number: Options.integer("n"),
      choice: Options.choice("choice", ["x", "y"]),
      switch: Options.boolean("on"),
      either: Options.orElse(named, Options.integer("either"))
    })
    expect(found.map(({ value }) => value)).toEqual([
      { ...any, name: "DIR" },
      { choices: [], isInteger: true, name: "N" },
      { ...any, name: "CHOICE", choices: ["x", "y"] },
      undefined,
      { ...any, name: "DIR" },
      { choices: [], isInteger: true, name: "N" }
    ])
    expect(found.map(({ isRequired }) => isRequired)).toEqual([true, true, true, false, false, false])
  })

  it("has operands, likewise", () => {
    const text = Args.text({ name: "ID" })
    const found = operandsOf({
      a: Args.withDescription(text, "Which"),
      b: Args.optional(text),
      c: Args.repeated(text),
      d: Args.atLeast(text, 1),
      e: Args.choice([["x", 1]], { name: "X" })
    })
    expect(found).toEqual([
      { ...any, name: "ID", description: "Which", isRequired: true, mayRepeat: false },
      { ...any, name: "ID", description: "", isRequired: false, mayRepeat: false },
      { ...any, name: "ID", description: "", isRequired: false, mayRepeat: true },
      { ...any, name: "ID", description: "", isRequired: true, mayRepeat: true },
      { ...any, name: "X", choices: ["x"], description: "", isRequired: true, mayRepeat: false }
    ])
  })

  it("has commands below commands, found by their paths", () => {
    const tree = CommandTree.of(
      Command.make("program").pipe(
        Command.withSubcommands([
          Command.make("runs").pipe(
            Command.withDescription("Runs"),
            Command.withSubcommands([Command.make("list"), Command.make("show")])
          )
        ])
      )
    )
    expect(CommandTree.all(tree).map(({ path }) => path.join(" "))).toEqual([
      "",
      "runs",
      "runs list",
      "runs show"
    ])
    expect(CommandTree.find(tree, ["runs"]).description).toBe("Runs")
    expect(CommandTree.find(tree, ["runs", "show"]).name).toBe("show")
    expect(CommandTree.find(tree, ["runs", "bogus"]).name).toBe("runs")
  })
})
