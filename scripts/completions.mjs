// dist/complete.cjs: what `rudder-relay __complete` runs. It knows all commands, but has nothing of what they do, nor what
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

/** Builds it by esbuild's `build`, as `settings` say. */
export const buildCompletions = (build, settings) =>
  build({ ...settings, entryPoints: ["src/complete.ts"], plugins: [commandsApart] })
