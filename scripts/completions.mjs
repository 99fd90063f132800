// dist/complete.js: what `rudder-relay __complete` runs. It knows all commands, but has nothing of what they do, nor what
// only they need: it is there before who pressed the key looks up.

/** What a command does is in the program's own files, and is never called from here. */
const commandsApart = {
  name: "commands-apart",
  setup: ({ onResolve }) => {
    onResolve({ filter: /^\.\// }, ({ kind, path }) =>
      kind === "dynamic-import" ? { path, external: true } : undefined
    )
  }
}

/** Formats of files that @effect/cli could read options from, and is never asked to. */
const noFormats = {
  name: "no-formats",
  setup: ({ onLoad, onResolve }) => {
    onResolve({ filter: /^(ini|toml|yaml)$/ }, ({ path }) => ({ path, namespace: "no-formats" }))
    onLoad({ filter: /./, namespace: "no-formats" }, () => ({ contents: "module.exports = {}" }))
  }
}

/** Builds it by esbuild's `build`, as the program is built. */
export const buildCompletions = (build, common) =>
  build({
    ...common,
    entryPoints: ["src/complete.ts"],
    outdir: "dist",
    plugins: [commandsApart, noFormats],
    minifyWhitespace: true,
    minifySyntax: true,
    sourcesContent: false
  })
