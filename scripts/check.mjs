// npm run check: types, Effect's own diagnostics, lint and format.
import { bin, install, run } from "./setup.mjs"

install()
run(bin("tsc"), ["-p", "tsconfig.json"])
run(bin("effect-language-service"), [
  "diagnostics",
  "--project",
  "tsconfig.json",
  "--severity",
  "error,warning",
  "--strict",
  "--format",
  "pretty"
])
run(bin("biome"), ["check", "--error-on-warnings", "."])
console.log("types, effects, lint and format: all well")
