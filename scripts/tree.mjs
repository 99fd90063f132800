// Has the programs know as data what can be said to them (src/cli/ProgramTree.ts), and not make it at each start from the
// commands of @effect/cli, of which most starts call none.
import { createRequire } from "node:module"

/** What a command does is in files of its own, and is not called from where it is only named. */
export const commandsApart = {
  name: "commands apart",
  setup: ({ onResolve }) => {
    onResolve({ filter: /^\.\// }, ({ kind, path }) =>
      kind === "dynamic-import" ? { path, external: true } : undefined
    )
  }
}

/** What a module exports, run by the node that builds, with all that it imports. */
const exportsOf = async (build, settings, path) => {
  const { outputFiles } = await build({
    ...settings,
    entryPoints: [path],
    plugins: [commandsApart],
    sourcemap: false,
    write: false,
    outdir: "."
  })
  const module = { exports: {} }
  new Function("require", "module", "exports", outputFiles[0].text)(
    createRequire(path),
    module,
    module.exports
  )
  return module.exports
}

/** For esbuild, with its `build` and settings for CommonJS. */
export const treeAsData = (build, settings) => ({
  name: "tree as data",
  setup: ({ onLoad }) => {
    onLoad({ filter: /\/src\/cli\/ProgramTree\.ts$/ }, async ({ path }) => {
      const { tree } = await exportsOf(build, settings, path)
      return { contents: `export const tree = ${JSON.stringify(tree)}`, loader: "js" }
    })
  }
})
