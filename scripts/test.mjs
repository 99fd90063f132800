// npm test: all tests that need nothing but Node. Arguments go to vitest.
import { bin, build, install, run } from "./setup.mjs"

install()
build()
run(bin("vitest"), ["run", "--project", "core", ...process.argv.slice(2)])
