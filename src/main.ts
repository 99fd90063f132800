/** The executable: the command line, run by node. */
import { NodeRuntime } from "@effect/platform-node"
import { program, teardown } from "./cli/Program.ts"

NodeRuntime.runMain(program(process.argv), {
  teardown,
  disableErrorReporting: true,
  disablePrettyLogger: true
})
