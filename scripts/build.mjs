// dist/main.cjs: the program; nearly all of it in files beside it, which main.cjs loads once signals can't end it any more.
// dist/compile.js: compiles the program ahead, for the node that runs this; here for the one that builds.
// dist/complete.cjs: what shells ask for words. dist/rudder-relay.1: the man page.
// dist/index.js, dist/testing.js and dist/types: the library and its test kit, next to their dependencies.
// dist/openapi.json: the API's description.
import { chmodSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { basename, dirname, join } from "node:path"
import { buildCompletions } from "./completions.mjs"
import { directImports } from "./direct.mjs"
import { withLighterSchemas } from "./lighter-schemas.mjs"
import { writeManPage } from "./man.mjs"
import { bin, install, run, top } from "./setup.mjs"
import { treeAsData } from "./tree.mjs"

install()
const { build } = await import("esbuild")
const dist = join(top, "dist")
rmSync(dist, { recursive: true, force: true })

/** Programs of other processes and threads are in the bundle as text, so that none gets lost when it is bundled again. */
const raw = {
  name: "raw",
  setup: ({ onResolve, onLoad }) => {
    onResolve({ filter: /\.(mjs|pl)\?raw$/ }, ({ path, importer }) => ({
      path: join(dirname(importer), path.slice(0, -"?raw".length)),
      namespace: "raw"
    }))
    onLoad({ filter: /.*/, namespace: "raw" }, ({ path }) => ({
      contents: readFileSync(path),
      loader: "text"
    }))
  }
}

const common = {
  absWorkingDir: top,
  bundle: true,
  platform: "node",
  target: "node20.18",
  format: "esm",
  legalComments: "none",
  logLevel: "warning",
  plugins: [raw],
  // Beside each file: node reads them only when it is started with --enable-source-maps.
  sourcemap: true
}

/** Modules that are files of their own, which several programs load, or which are read when they are asked for. */
const apart = ["cli/FirstMoment.ts", "cli/CompiledProgram.ts"]
const ofTheirOwn = [...apart, "complete.ts"]
const fileOf = (module) => basename(module).replace(/\.[jt]s$/, ".cjs")
const beside = {
  name: "beside",
  setup: ({ onLoad, onResolve }) => {
    for (const module of ofTheirOwn)
      onResolve({ filter: new RegExp(`/${basename(module)}$`) }, () => ({
        path: `./${fileOf(module)}`,
        external: true
      }))
    // All of Swagger UI as text, read when its page is asked for.
    onResolve({ filter: /^\.\/Swagger\.cjs$/ }, ({ path }) => ({ path, external: true }))
    onResolve({ filter: /\/internal\/httpApiSwagger\.js$/ }, ({ path }) => ({ path, namespace: "later" }))
    onLoad({ filter: /./, namespace: "later" }, () => ({
      contents: `for (const name of ["javascript", "css"])
        Object.defineProperty(exports, name, { enumerable: true, get: () => require("./Swagger.cjs")[name] })`
    }))
  }
}

const program = {
  ...common,
  outdir: "dist",
  // Not the names, which stack traces in logs show: to keep them beside shorter ones costs a tenth of all speed, since
  // each closure is given its own when it is made.
  minifyWhitespace: true,
  minifySyntax: true,
  // Where in the sources, which is all that a stack trace says; the sources themselves would be twice the program.
  sourcesContent: false,
  alias: Object.fromEntries(
    ["fast-check", "ini", "mime", "msgpackr", "toml", "ws", "yaml"].map((name) => [
      name,
      join(top, "scripts/not-in-the-program.mjs")
    ])
  )
}

/** For what is loaded by `require`. */
const commonJs = {
  ...program,
  format: "cjs",
  outExtension: { ".js": ".cjs" },
  // What is loaded later is loaded by it, too.
  supported: { "dynamic-import": false }
}

await build({
  ...commonJs,
  entryPoints: [
    ...apart.map((module) => `src/${module}`),
    { in: "./node_modules/@effect/platform/dist/esm/internal/httpApiSwagger.js", out: "Swagger" }
  ].map((entry) => (typeof entry === "string" ? { in: entry, out: basename(entry, ".ts") } : entry))
})
const { metafile } = await build({
  ...commonJs,
  plugins: [raw, beside, treeAsData(build, commonJs), directImports, withLighterSchemas],
  // What is loaded later, such as what a command does, is in it, and is run when it is loaded.
  entryPoints: { Program: "src/cli/Main.ts" },
  entryNames: "[name]-[hash]",
  metafile: true,
  // A function, for src/cli/CompiledProgram.ts; or, where node itself loads the file, a call of it.
  banner: {
    js: '(typeof module=="object"?(main)=>main(require,module,exports):(main)=>main)((function(require,module,exports){'
  },
  footer: { js: "}))" }
})
const [programFile] = Object.keys(metafile.outputs).filter((name) => name.endsWith(".cjs"))
const starts = {
  plugins: [raw, beside, directImports],
  define: { programFile: JSON.stringify(`./${basename(programFile)}`) },
  banner: { js: "#!/usr/bin/env node" }
}
await build({ ...commonJs, ...starts, entryPoints: ["src/main.ts"] })
await build({ ...program, ...starts, entryPoints: ["src/compile.ts"] })
chmodSync(join(dist, "main.cjs"), 0o755)
await buildCompletions(build, commonJs)

// The test kit has its disk in memory with it, so that nobody has to install one. It is in CommonJS, as above.
await build({
  ...common,
  stdin: { contents: 'export { createFsFromVolume, Volume } from "memfs"', resolveDir: top },
  outfile: "dist/memfs.js",
  minify: true,
  sourcemap: false,
  banner: {
    js: "import{createRequire as $$require}from'node:module';const require=$$require(import.meta.url);"
  }
})
const memfsBeside = {
  name: "memfs beside",
  setup: ({ onResolve }) => {
    onResolve({ filter: /^memfs$/ }, () => ({ path: "./memfs.js", external: true }))
  }
}

// Both from one build: what they have in common, errors and their classes above all, is there once.
await build({
  ...common,
  entryPoints: ["src/index.ts", "src/testing.ts"],
  outdir: "dist",
  splitting: true,
  packages: "external",
  plugins: [raw, memfsBeside]
})
run(bin("tsc"), ["-p", "tsconfig.build.json"])

const { RelayApi } = await import("../dist/index.js")
const { OpenApi } = await import("@effect/platform")
writeFileSync(join(dist, "openapi.json"), `${JSON.stringify(OpenApi.fromApi(RelayApi), null, 2)}\n`)
run(process.execPath, [join(dist, "compile.js")])
writeManPage()
