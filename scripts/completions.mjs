// dist/complete.cjs: what `rudder-relay __complete` runs. It knows all commands, but has nothing of what they do, nor what
// only they need: it is there before who pressed the key looks up.
import { treeAsData } from "./tree.mjs"

/** Builds it by esbuild's `build`, as `settings` say. */
export const buildCompletions = (build, settings) =>
  build({ ...settings, entryPoints: ["src/complete.ts"], plugins: [treeAsData(build, settings)] })
