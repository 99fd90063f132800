/** The recipe for an image names what is there. */
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { describe, expect, it } from "@effect/vitest"

const top = fileURLToPath(new URL("..", import.meta.url))
const recipe = readFileSync(join(top, "scripts/Containerfile"), "utf8").replaceAll("\\\n", " ")

/** What an instruction copies, without where to. */
const copied = (from: RegExp): ReadonlyArray<string> =>
  [...recipe.matchAll(from)].flatMap(([, words = ""]) => words.trim().split(/\s+/).slice(0, -1))

describe("the recipe for an image", () => {
  it("copies what the sources have", () => {
    const sources = copied(/^COPY (?!--)(.*)$/gm)
    expect(sources.length).toBeGreaterThan(0)
    expect(sources.filter((path) => !existsSync(join(top, path)))).toEqual([])
  })

  it("copies from what was built there what the sources have, or the build makes", () => {
    const paths = copied(/^COPY --from=build (.*)$/gm).map((path) => path.replace(/^\/relay\//, ""))
    expect(paths).toContain("dist")
    expect(paths.filter((path) => path !== "dist" && !existsSync(join(top, path)))).toEqual([])
  })

  it("sets keys that are there, and runs Node as the package wants it", () => {
    const keys = [...recipe.matchAll(/RUDDER_RELAY_([A-Z_]+)=/g)].map(([, key = ""]) =>
      key.toLowerCase().replaceAll("__", ".")
    )
    const page = readFileSync(join(top, "docs/configuration.md"), "utf8")
    expect(keys.length).toBeGreaterThan(0)
    for (const key of keys) expect(page).toContain(key.slice(key.indexOf(".") + 1))
    expect(recipe.match(/^FROM docker\.io\/library\/node:20-/gm)?.length).toBe(2)
  })
})
