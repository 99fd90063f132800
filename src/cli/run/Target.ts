/** Which nodes a command means, as a person says it. */
import { Either } from "effect"
import * as NodeNames from "./NodeNames.ts"

/** What one word of a command line, or of stdin, means. */
export type Target =
  /** Ids or host names, or globs of either. */
  | { readonly _tag: "Names"; readonly text: string; readonly names: ReadonlyArray<string> }
  | { readonly _tag: "All" }
  /** All nodes whose way goes through that relay. */
  | { readonly _tag: "BehindRelay"; readonly relay: string }
  /** The nodes of a run; or those of them that failed. */
  | { readonly _tag: "OfRun"; readonly run: string; readonly failed: boolean }

const grammar = "an id, a host name, a glob of either, @all, @relay:ID, @run:ID or @run:ID:failed"

/** A word's meaning, or what is wrong with it. */
export const parse = (text: string): Either.Either<Target, string> => {
  const expected = Either.left(`${JSON.stringify(text)}: expected ${grammar}`)
  if (text === "") return expected
  if (!text.startsWith("@"))
    return NodeNames.unfold(text).pipe(
      Either.mapLeft((problem) => `${JSON.stringify(text)}: ${problem}`),
      Either.flatMap((names) =>
        names.every((name) => /^[A-Za-z0-9._*?-]+$/.test(name))
          ? Either.right<Target>({ _tag: "Names", text, names })
          : expected
      )
    )
  if (text === "@all") return Either.right({ _tag: "All" })
  const [, relay] = /^@relay:([A-Za-z0-9._-]+)$/.exec(text) ?? []
  if (relay !== undefined) return Either.right({ _tag: "BehindRelay", relay })
  const [, run, failed] = /^@run:([0-9A-Za-z-]+)(:failed)?$/.exec(text) ?? []
  return run === undefined ? expected : Either.right({ _tag: "OfRun", run, failed: failed !== undefined })
}

/** How it was said. */
export const textOf = (target: Target): string => {
  switch (target._tag) {
    case "Names":
      return target.text
    case "All":
      return "@all"
    case "BehindRelay":
      return `@relay:${target.relay}`
    case "OfRun":
      return `@run:${target.run}${target.failed ? ":failed" : ""}`
  }
}

/** Words of a text, such as a list of names from another program: apart by spaces and lines; `#` begins a comment. */
export const words = (text: string): ReadonlyArray<string> =>
  text
    .split("\n")
    .flatMap((line) => line.replace(/(^|\s)#.*/, "").split(/\s+/))
    .filter((word) => word !== "")
