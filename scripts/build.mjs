// dist/main.js: the program; nearly all of it in a file beside it, which main.js loads once signals can't end it any more.
// dist/index.js and dist/types: the library, next to its dependencies. dist/openapi.json: the API's description.
import { chmodSync, copyFileSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { bin, install, run, top } from "./setup.mjs"

install()
const { build } = await import("esbuild")
const dist = join(top, "dist")
rmSync(dist, { recursive: true, force: true })

const common = {
  absWorkingDir: top,
  bundle: true,
  platform: "node",
  target: "node20.18",
  format: "esm",
  legalComments: "none",
  logLevel: "warning",
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
  plugins: [swaggerApart],
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

// A process and a thread of their own, found beside whichever of the two starts them.
copyFileSync(join(top, "src/remote-run/agents/spawner.mjs"), join(dist, "spawner.mjs"))
copyFileSync(join(top, "src/disk/hasher.mjs"), join(dist, "hasher.mjs"))
copyFileSync(join(top, "src/disk/commits.mjs"), join(dist, "commits.mjs"))

await build({ ...common, entryPoints: ["src/index.ts"], outfile: "dist/index.js", packages: "external" })
run(bin("tsc"), ["-p", "tsconfig.build.json"])

const { RelayApi } = await import("../dist/index.js")
const { OpenApi } = await import("@effect/platform")
writeFileSync(join(dist, "openapi.json"), `${JSON.stringify(OpenApi.fromApi(RelayApi), null, 2)}\n`)
