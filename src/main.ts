/** The executable: the command line, run by node. */

import "./cli/FirstMoment.ts"
import { setFlagsFromString } from "node:v8"
import { NodeRuntime } from "@effect/platform-node"
import { program, teardown } from "./cli/Program.ts"

// What a run of thousands of nodes leaves behind is collected sooner: a quarter less memory at its highest. With less than
// this, a large upload spends as much on collecting as on hashing.
setFlagsFromString("--heap-growing-percent=150")

NodeRuntime.runMain(program(process.argv), {
  teardown,
  disableErrorReporting: true,
  disablePrettyLogger: true
})
