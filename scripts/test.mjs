// npm test: all tests that need nothing but Node and the sources. Arguments go to vitest: a file, `-t NAME`, `--watch`.
// FC_SEED and FC_PATH, which a property that fails tells, have it fail again.
import { bin, install, run } from "./setup.mjs"

install()
run(bin("vitest"), ["run", "--project", "core", ...process.argv.slice(2)])
