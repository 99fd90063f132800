/** What the pages for people say of other pages and of the sources is there. */
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { basename, dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { describe, expect, it } from "@effect/vitest"

const top = fileURLToPath(new URL("..", import.meta.url))

const pages = ["", "docs"].flatMap((folder) =>
  readdirSync(join(top, folder))
    .filter((name) => name.endsWith(".md"))
    .map((name) => join(folder, name))
)

const read = (page: string): string => readFileSync(join(top, page), "utf8")

/** Without what is quoted from elsewhere. */
const prose = (page: string): string => read(page).replaceAll(/^```.*?^```$/gms, "")

interface Link {
  readonly file: string
  readonly heading: string
}

const linksOf = (page: string): ReadonlyArray<Link> =>
  [...prose(page).matchAll(/\]\(([^)]+)\)/g)]
    .map(([, target = ""]) => target)
    .filter((target) => !/^https?:/.test(target))
    .map((target) => {
      const [path = "", heading = ""] = target.split("#")
      return { file: path === "" ? page : join(dirname(page), path), heading }
    })

/** As they are linked to. */
const headingsOf = (page: string): ReadonlyArray<string> =>
  [...prose(page).matchAll(/^#+ (.*)$/gm)].map(([, text = ""]) =>
    text
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} -]/gu, "")
      .replaceAll(" ", "-")
  )

/** Files of the project by their paths, from any folder on, and by their names. */
const files = new Set(
  ["src", "test", "scripts", "docs/examples"].flatMap((folder) =>
    readdirSync(join(top, folder), { recursive: true, encoding: "utf8" }).flatMap((path) => [
      path,
      join(folder, path),
      basename(path)
    ])
  )
)

describe("the documentation", () => {
  it.each(pages)("%s links to what is there", (page) => {
    const broken = linksOf(page).filter(
      ({ file, heading }) =>
        !existsSync(join(top, file)) || (heading !== "" && !headingsOf(file).includes(heading))
    )
    expect(broken).toEqual([])
  })

  it.each(pages)("%s names sources that are there", (page) => {
    const named = [...prose(page).matchAll(/`([\w./-]+\.(?:ts|mjs))`/g)].map(([, path = ""]) => path)
    expect(named.filter((path) => !files.has(path))).toEqual([])
  })

  it("is found from the README, page by page", () => {
    const linked = linksOf("README.md").map(({ file }) => file)
    expect(pages.filter((page) => page !== "README.md" && !linked.includes(page))).toEqual([])
  })

  /** What it shows is what is compiled and run: `test/e2e/Embedding.test.ts`. */
  it("shows how to embed and to call a relay by the examples", () => {
    const blocks = [...read("docs/embedding.md").matchAll(/^```ts\n(.*?)^```$/gms)].map(([, text]) => text)
    const examples = readdirSync(join(top, "docs/examples")).map((name) => read(`docs/examples/${name}`))
    expect(examples).toHaveLength(3)
    expect(new Set(blocks)).toEqual(new Set(examples))
  })
})
