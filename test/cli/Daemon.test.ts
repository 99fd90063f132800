/** A call of the daemon is the same, whether it is known at once or read by `@effect/cli`. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Either, FastCheck, Layer } from "effect"
import { call } from "../../src/cli/Called.ts"
import * as CommandLine from "../../src/cli/CommandLine.ts"
import * as Daemon from "../../src/cli/Daemon.ts"
import { tree } from "../../src/cli/ProgramTree.ts"
import { exitCode, StartError } from "../../src/cli/StartError.ts"
import * as RegularFiles from "../../src/disk/RegularFiles.ts"

const system = Layer.merge(RegularFiles.layer.pipe(Layer.provide(NodeFileSystem.layer)), NodePath.layer)

/** What `CommandLine` makes of a command line that calls a command. */
const argsOf = (words: ReadonlyArray<string>): ReadonlyArray<string> | undefined => {
  const request = Either.getOrUndefined(CommandLine.parse(tree, words))
  return request?._tag === "Call" ? request.args : undefined
}

const folderOf = (...words: ReadonlyArray<string>) => Daemon.folderOf(argsOf(words) ?? ["none"])

/** Folders without a configuration: what serves them ends, and says which folder it was. */
const folder = FastCheck.oneof(
  FastCheck.constantFrom("", " ", "serve", "check", "=", "--config=x"),
  FastCheck.string().map((name) => `no-such-folder/${name}`)
)

const config = folder.chain((name) =>
  FastCheck.constantFrom(["--config", name], [`--config=${name}`], ["-c", name], [`-c${name}`])
)

/** All of a command line that has something to do with the daemon, right and wrong. */
const lines = FastCheck.array(
  FastCheck.oneof(config, FastCheck.constantFrom(["serve"], ["check"], ["-t"], ["--json"], ["--"], ["x"])),
  { maxLength: 4 }
).map((parts) => parts.flat())

/** How a program ends that can't serve. */
const end = <A, E, R>(program: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(program), (error) =>
    error instanceof StartError ? { code: error.code, message: error.message } : error
  )

describe("a call of the daemon", () => {
  it("is known, wherever its folder is said", () => {
    for (const words of [["-c", "a"], ["-ca"], ["--config=a", "serve"], ["serve", "--config", "a"]])
      expect(folderOf(...words)).toBe("a")
    expect(folderOf("-c", " a ")).toBe(" a ")
    expect(folderOf("-c", "check")).toBe("check")
    expect(folderOf("serve")).toBe("/opt/rudder/etc/relayd")
    expect(folderOf()).toBe("/opt/rudder/etc/relayd")
  })

  it("is no other: not a check, and none that `@effect/cli` has something to say of", () => {
    for (const line of ["-t", "-c a -t", "--json", "check", "check -c a", "-c a check", "status", "sandbox"])
      expect(folderOf(...line.split(" ")), line).toBeUndefined()
    expect(folderOf("--config=--help")).toBeUndefined()
    expect(folderOf("serve", "--config=-x")).toBeUndefined()
  })

  it.effect.prop("ends as `@effect/cli` has it end", { words: lines }, ({ words }) =>
    Effect.gen(function* () {
      const args = argsOf(words)
      const found = args === undefined ? undefined : Daemon.folderOf(args)
      if (args === undefined || found === undefined || found === Daemon.defaultFolder) return
      // Where it is said alone, `@effect/cli` takes a folder with the name of a command for that command.
      const safe = args[0] === "serve" ? args : ["serve", ...args]
      expect(yield* end(call(safe))).toEqual(yield* end(Daemon.serve(found)))
    }).pipe(Effect.provide(system))
  )
})

describe("what `@effect/cli` itself finds wrong", () => {
  it.effect("ends the program with the code of a wrong command line, and was said", () =>
    Effect.gen(function* () {
      const said: Array<unknown> = []
      const console = yield* Effect.console
      const error = yield* end(call(["serve", "--bogus"])).pipe(
        Effect.withConsole({ ...console, error: (...values) => Effect.sync(() => said.push(...values)) })
      )
      expect(error).toEqual({ code: exitCode.configuration, message: "" })
      expect(said.join("")).toContain("--bogus")
    }).pipe(Effect.provide(system))
  )
})
