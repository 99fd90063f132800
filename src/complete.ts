/** What `rudder-relay __complete` runs: a file of its own, with what it takes to name words and nothing else. */
import { run } from "./cli/Complete.ts"

void run(process.argv.slice(3))
