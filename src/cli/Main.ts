/** The command line, run by node. */

import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { handOver } from "./FirstMoment.ts"
import { program, teardown } from "./Program.ts"

NodeRuntime.runMain(program(process.argv), {
  teardown,
  disableErrorReporting: true,
  disablePrettyLogger: true
})
handOver()
