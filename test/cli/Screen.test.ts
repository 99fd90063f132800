/** What is printed of lines that others wrote, and how a reader that leaves is met. */
import { PassThrough } from "node:stream"
import { describe, expect, it } from "@effect/vitest"
import { Effect, FastCheck as fc } from "effect"
import * as Screen from "../../src/cli/Screen.ts"

const screen = (colours: boolean): Screen.Screen => ({ isTerminal: colours, colours, width: () => 80 })

describe("a line of somebody else's", () => {
  it("keeps its colours where they may be printed, and ends them", () => {
    expect(Screen.foreignLine("\u001b[31mred\tx", screen(true))).toBe("\u001b[31mred\tx\u001b[0m")
    expect(Screen.foreignLine("\u001b[31mred\tx\u001b[0m", screen(false))).toBe("red\tx")
  })

  it("moves no cursor and hides nothing", () => {
    expect(Screen.foreignLine("a\u001b[2Jb\rc\u0007é\u202e", screen(true))).toBe("ab\\x0dc\\x07é\\u202e")
    expect(Screen.foreignLine("\u001b]0;title\u0007x", screen(true))).not.toContain("\u001b]")
  })

  it.prop(
    "has nothing of a terminal's left where there are no colours",
    [fc.fullUnicodeString()],
    ([text]) => {
      const controls = /[\u0000-\u0008\u000a-\u001f\u007f-\u009f]/
      return !controls.test(Screen.foreignLine(text, screen(false)))
    }
  )
})

describe("a line of JSON", () => {
  it.prop("says the same on a terminal, and writes nothing on it", [fc.fullUnicodeString()], ([text]) => {
    const line = JSON.stringify({ line: `\u007f\u009b2J\u200e\u202e\u2066${text}` })
    const shown = Screen.jsonLine(line, screen(true))
    expect(shown).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/)
    expect(JSON.parse(shown)).toEqual(JSON.parse(line))
    expect(Screen.jsonLine(line, screen(false))).toBe(line)
  })
})

/** A stream of the process, as far as writing goes. */
const broken = (code: string) => {
  const stream = new PassThrough()
  stream.on("error", () => {})
  stream.destroy(Object.assign(new Error(code), { code }))
  // Writing is all that is done with it.
  return stream as unknown as NodeJS.WriteStream
}

describe("printing", () => {
  it.effect("ends without a word where the reader has left, and says what else is wrong", () =>
    Effect.gen(function* () {
      const refusing = broken("EPIPE")
      refusing.write = (_: unknown, done?: unknown) => {
        if (typeof done === "function") done(Object.assign(new Error("write EPIPE"), { code: "EPIPE" }))
        return false
      }
      expect(yield* Effect.flip(Screen.write("x", refusing))).toMatchObject({ code: 141, message: "" })
      expect(yield* Effect.flip(Screen.write("x", broken("ENOSPC")))).toMatchObject({ code: 3 })
      yield* Screen.write("", refusing)
    })
  )
})
