/** The executable: the command line, run by node. */

import { setFlagsFromString } from "node:v8"
import { NodeRuntime } from "@effect/platform-node"
import { program, teardown } from "./cli/Program.ts"

// What a run of thousands of nodes leaves behind is collected sooner: a third less memory at its highest, for some CPU.
setFlagsFromString("--heap-growing-percent=60")

NodeRuntime.runMain(program(process.argv), {
  teardown,
  disableErrorReporting: true,
  disablePrettyLogger: true
})
