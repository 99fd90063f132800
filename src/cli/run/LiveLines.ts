/** A run's events as lines, as they come. */

import * as Printable from "../../Printable.ts"
import { verdict } from "../../remote-run/RunEvent.ts"
import type { RunStreamEvent } from "../../remote-run/RunStreamEvent.ts"
import * as Screen from "../Screen.ts"
import type { NodeLabels } from "./NodeLabels.ts"
import * as Outcome from "./Outcome.ts"

/** Lines for stdout and for stderr, each ended. */
export interface Lines {
  readonly stdout: string
  readonly stderr: string
}

/** What these events say: lines of agents, to the stream that they printed them to, and which nodes failed. */
export const of = (events: Iterable<RunStreamEvent>, labels: NodeLabels, screen: Screen.Screen): Lines => {
  let stdout = ""
  let stderr = ""
  for (const event of events) {
    if (event.event === "output") {
      const line = `${labels.of(event.node)}: ${Screen.foreignLine(event.line, screen)}\n`
      if (event.stream === "stdout") stdout += line
      else stderr += line
    } else if (event.event === "end" && verdict(event) === "failed")
      stderr += `rudder-relay: ${labels.of(event.node)}: ${Printable.line(Outcome.describe(event))}\n`
  }
  return { stdout, stderr }
}
