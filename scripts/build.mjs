// dist/main.js: the program; nearly all of it in a file beside it, which main.js loads once signals can't end it any more.
// dist/complete.js: what shells ask for words. dist/rudder-relay.1: the man page.
// dist/index.js, dist/testing.js and dist/types: the library and its test kit, next to their dependencies.
// dist/openapi.json: the API's description.
import { chmodSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { buildCompletions } from "./completions.mjs"
import { writeManPage } from "./man.mjs"
import { bin, install, run, top } from "./setup.mjs"

install()
const { build } = await import("esbuild")
const dist = join(top, "dist")
rmSync(dist, { recursive: true, force: true })

/** Programs of other processes and threads are in the bundle as text, so that none gets lost when it is bundled again. */
const raw = {
  name: "raw",
  setup: ({ onResolve, onLoad }) => {
    onResolve({ filter: /\.mjs\?raw$/ }, ({ path, importer }) => ({
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

/**
 * Swagger UI in a file of its own, which is read when its page is asked for. The platform's index names it too, and so it
 * would stand among what every start reads.
 */
const swaggerApart = {
  name: "swagger-apart",
  setup: ({ onLoad, onResolve, resolve }) => {
    const namespace = "apart"
    onResolve({ filter: /\/HttpApiSwagger$/ }, async ({ kind, path, resolveDir }) =>
      kind === "dynamic-import"
        ? { path: (await resolve(path, { kind: "import-statement", resolveDir })).path, namespace }
        : undefined
    )
    onResolve({ filter: /\/httpApiSwagger\.js$/, namespace }, ({ importer, path }) => ({
      path: join(dirname(importer), path),
      namespace
    }))
    onLoad({ filter: /./, namespace }, ({ path }) => ({
      contents: readFileSync(path),
      resolveDir: dirname(path)
    }))
  }
}

await build({
  ...common,
  plugins: [raw, swaggerApart],
  entryPoints: ["src/main.ts"],
  outdir: "dist",
  splitting: true,
  alias: Object.fromEntries(
    ["ini", "toml", "yaml"].map((name) => [name, join(top, "scripts/no-parsers.mjs")])
  ),
  // Not the names, which stack traces in logs show: to keep them beside shorter ones costs a tenth of all speed, since
  // each closure is given its own when it is made.
  minifyWhitespace: true,
  minifySyntax: true,
  // Where in the sources, which is all that a stack trace says; the sources themselves would be twice the program.
  sourcesContent: false,
  // Packages in CommonJS ask for node's modules by `require`, which an ES module does not have.
  banner: {
    js: "#!/usr/bin/env node\nimport{createRequire as $$require}from'node:module';const require=$$require(import.meta.url);"
  }
})
chmodSync(join(dist, "main.js"), 0o755)
await buildCompletions(build, common)

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
writeManPage()
