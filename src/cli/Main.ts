/** The command line, run by node. */

import { setFlagsFromString } from "node:v8"
import { NodeRuntime } from "@effect/platform-node"
import { handOver } from "./FirstMoment.ts"
import { program, teardown } from "./Program.ts"

// What a run of thousands of nodes leaves behind is collected sooner: a quarter less memory at its highest. With less than
// this, a large upload spends as much on collecting as on hashing.
setFlagsFromString("--heap-growing-percent=150")

NodeRuntime.runMain(program(process.argv), {
  teardown,
  disableErrorReporting: true,
  disablePrettyLogger: true
})
handOver()
