/** The package, as npm makes it of a clean clone. */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { expect, it } from "vitest"
import { command } from "./support/Program.ts"

const top = fileURLToPath(new URL("../..", import.meta.url))

it("is whole when it is packed from a clean clone", async () => {
  // What is installed is then known to be what the clone wants, which has it by a link and must not install anew.
  const setup = join(top, "scripts/setup.mjs")
  const script = `import(${JSON.stringify(setup)}).then(({ install }) => install())`
  expect((await command(process.execPath, ["-e", script])).code).toBe(0)
  const clone = mkdtempSync(join(tmpdir(), "rudder-relay-clone-"))
  try {
    for (const name of readdirSync(top))
      if (!["node_modules", "dist", ".git", "sandbox"].includes(name))
        cpSync(join(top, name), join(clone, name), { recursive: true })
    symlinkSync(join(top, "node_modules"), join(clone, "node_modules"))
    const packed = await command(
      "npm",
      ["--prefix", clone, "pack", clone, "--dry-run", "--json", "--offline"],
      110_000
    )
    expect(packed.code).toBe(0)
    const files = [...packed.stdout.matchAll(/"path": "([^"]+)"/g)].map(([, path]) => path)
    expect(files).toEqual(
      expect.arrayContaining([
        ...["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "SECURITY.md"],
        ...["package.json", "docs/configuration.md"],
        ...[
          "dist/main.cjs",
          "dist/main.cjs.map",
          "dist/compile.js",
          "dist/index.js",
          "dist/index.js.map",
          "dist/openapi.json",
          "dist/types/src/index.d.ts",
          "dist/testing.js",
          "dist/memfs.js",
          ...["server.ts", "client.ts", "kit.test.ts"].map((name) => `docs/examples/${name}`),
          "dist/testing.js.map",
          "dist/types/src/testing.d.ts"
        ],
        ...readdirSync(join(top, "src/ncf")).map((name) => `src/ncf/${name}`)
      ])
    )
    expect(files.filter((path) => path?.startsWith("test/") || path?.includes("node_modules"))).toEqual([])
  } finally {
    rmSync(clone, { recursive: true, force: true })
  }
})

it("says what is missing where it is not installed whole, and ends with 3", async () => {
  const directory = mkdtempSync(join(tmpdir(), "rudder-relay-part-"))
  try {
    for (const missing of [/^Program-.*\.cjs$/, /^FirstMoment\.cjs$/, /^CompiledProgram\.cjs$/]) {
      const part = join(directory, "dist")
      cpSync(join(top, "dist"), part, { recursive: true })
      const [name = ""] = readdirSync(part).filter((file) => missing.test(file))
      rmSync(join(part, name))
      const { code, stderr } = await command(process.execPath, [join(part, "main.cjs"), "serve"])
      expect(stderr).toContain("not installed whole")
      expect(stderr).toContain(name)
      expect(code).toBe(3)
      rmSync(part, { recursive: true })
    }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
})

it("has the code that this node made of the program, and nothing that it has no use for", async () => {
  const dist = join(top, "dist")
  const program = readdirSync(dist).find((name) => /^Program-.*\.cjs$/.test(name)) ?? ""
  // By a node with no options of the tests' own: compiled code counts only for the same.
  const loading = `const { load } = require(process.argv[1]); console.log(load(process.argv[2]).cachedDataRejected)`
  const files = [join(dist, "CompiledProgram.cjs"), join(dist, program)]
  const loaded = await command(process.execPath, ["-e", loading, ...files])
  expect(loaded).toMatchObject({ code: 0, stdout: "false\n" })
  const text = readFileSync(join(dist, program), "utf8")
  const packages = ["undici", "ws", "mime", "fast-check", "msgpackr", "ini"]
  expect(packages.filter((name) => text.includes(`node_modules/${name}/`))).toEqual([])
})

it("has source maps: a stack trace names the sources", async () => {
  // What the program calls in the end, made to tell from where.
  const hook = `import { Server } from "node:net"
    const listen = Server.prototype.listen
    Server.prototype.listen = function (...args) {
      console.error(new Error("called").stack)
      return listen.apply(this, args)
    }`
  const directory = mkdtempSync(join(tmpdir(), "rudder-relay-maps-"))
  try {
    writeFileSync(join(directory, "main.conf"), '[general]\nnode_id = "root"\n')
    const checked = await command(process.execPath, [
      "--enable-source-maps",
      "--import",
      `data:text/javascript,${encodeURIComponent(hook)}`,
      join(top, "dist/main.cjs"),
      ...["check", "--config", directory]
    ])
    expect(checked.stderr).toMatch(/^ +at .*\/src\/cli\/check\/ListenAddress\.ts:\d+:\d+\)?$/m)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
})
