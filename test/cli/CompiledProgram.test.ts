/** The program, loaded with what V8 made of it before. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeEach, describe, expect, it } from "@effect/vitest"
import { load, run, save, start, started } from "../../src/cli/CompiledProgram.ts"

const folder = mkdtempSync(join(tmpdir(), "rudder-relay-compiled-"))
const program = join(folder, "Program-HASH.cjs")

/** As `scripts/build.mjs` makes it. */
const text = (says: string) =>
  '(typeof module=="object"?(main)=>main(require,module,exports):(main)=>main)((function(require,module,exports){\n' +
  `const later = () => "${says}"\nglobalThis.said = [later(), require("node:os").EOL, typeof module.exports]\n}))`

const said = () => Reflect.get(globalThis, "said")

const codeFile = () => {
  const [name = ""] = readdirSync(folder).filter((one) => one.endsWith(".code"))
  return join(folder, name)
}

/** Whether V8 took the code; undefined where it was given none. */
const taken = () => {
  const { cachedDataRejected } = load(program)
  return cachedDataRejected === undefined ? undefined : !cachedDataRejected
}

const compiled = () => {
  const script = load(program)
  run(program, script)
  save(program, script)
}

beforeEach(() => {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder)
  writeFileSync(program, text("first"))
})

afterAll(() => {
  started()
  rmSync(folder, { recursive: true, force: true })
})

describe("a program", () => {
  it("runs, with a require of its own", () => {
    start(program)
    expect(said()).toEqual(["first", "\n", "object"])
  })

  it("runs where node loads it itself", () => {
    createRequire(program)(program)
    expect(said()).toEqual(["first", "\n", "object"])
  })

  it("is loaded with the code that was kept of it", () => {
    expect(taken()).toBeUndefined()
    compiled()
    expect(taken()).toBe(true)
    start(program)
    expect(said()).toEqual(["first", "\n", "object"])
    expect(readdirSync(folder)).toHaveLength(2)
  })

  it("is compiled where that code is not whole", () => {
    compiled()
    const code = readFileSync(codeFile())
    const changed = Buffer.from(code)
    changed.writeUInt8(code.readUInt8(code.length >> 1) ^ 1, code.length >> 1)
    for (const broken of [changed, code.subarray(0, -1), code.subarray(0, 4), Buffer.alloc(0)]) {
      writeFileSync(codeFile(), broken)
      expect(taken()).toBeUndefined()
      start(program)
      expect(said()).toEqual(["first", "\n", "object"])
    }
  })

  it("is compiled where that code is for another", () => {
    compiled()
    writeFileSync(program, text("the second"))
    expect(taken()).toBe(false)
    start(program)
    expect(said()).toEqual(["the second", "\n", "object"])
  })
})
