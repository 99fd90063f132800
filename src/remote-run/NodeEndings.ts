/** How a node's part of a run ends, in the words of its `end`. */
import { Cause, Exit } from "effect"
import type { Node } from "../topology/Node.ts"
import type { AgentError, AgentExit } from "./agents/AgentProcess.ts"
import type { NodeEnding } from "./RunEvent.ts"

/** The run was cancelled, or the relay stopped. */
export const cancelled: NodeEnding = { code: null, cancelled: true }

/** It was not started, since too many others had failed. */
export const skipped: NodeEnding = { code: null, skipped: true }

/** Its sub-relay said nothing of it. */
export const unreported = (relay: Node): NodeEnding => ({
  code: null,
  error: { _tag: "UpstreamFatal", message: `sub-relay ${relay.id} did not report this node` }
})

/** Its hostname in the nodes list is not one. */
export const badHostname = (node: Node): NodeEnding => ({
  code: null,
  error: {
    _tag: "AgentError",
    message: `the nodes list has no valid hostname for this node: ${JSON.stringify(node.hostname)}`
  }
})

/** Its agent has exited. */
export const ofAgent = ({ code, signal }: AgentExit): NodeEnding =>
  code === null && signal !== null ? { code, signal } : { code }

/** Its agent could not be started. */
export const ofError = (error: AgentError): NodeEnding => ({
  code: null,
  error: { _tag: error._tag, message: error.message }
})

/**
 * How what ran the agent came to its end.
 *
 * @param isOverdue it took too long, and was ended for that
 */
export const ofExit = (exit: Exit.Exit<NodeEnding>, isOverdue: boolean): NodeEnding => {
  if (isOverdue) return { code: null, timeout: true }
  return Exit.match(exit, {
    onSuccess: (ending) => ending,
    onFailure: (cause): NodeEnding =>
      Cause.isInterrupted(cause)
        ? cancelled
        : { code: null, error: { _tag: "AgentError", message: "internal error; the relay's log has it" } }
  })
}
