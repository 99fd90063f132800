/**
 * The nodes of a run by how they ended and what they printed: those that are alike are one group. Of what a node prints
 * only a digest is kept, and of stderr the end, once a group and up to a bound: the relay has the output, and is asked for
 * that of one node of each group. So it takes some hundred bytes a node, whatever they print.
 */
import { createHash, type Hash } from "node:crypto"
import * as EventLine from "../../client/EventLine.ts"
import { type NodeEnded, type Verdict, verdict } from "../../remote-run/RunEvent.ts"
import type { OutputEvent, RunStreamEvent } from "../../remote-run/RunStreamEvent.ts"
import * as Outcome from "./Outcome.ts"

/** Nodes that are alike. */
export interface NodeGroup {
  /** Their ids. */
  readonly nodes: Array<string>
  /** Undefined where the relay says of no end: an older relay's output has none. */
  readonly verdict: Verdict | undefined
  /** How they ended, in words. */
  readonly outcome: string
  /** The end of their stderr; undefined where it is too much, over all groups, to be held. */
  readonly stderr: string | undefined
  /** Bytes that their agents printed and the relay did not keep. */
  readonly dropped: number
  /** What they printed on stdout: the same text for the same output, empty for none. */
  readonly digest: string
}

/** Of all groups together, so much stderr is held. Characters. */
const maxStderr = 16 * 1024 * 1024

const noOutput = ""

/** Sorts the nodes of a run into groups. */
export class NodeGroups {
  private readonly groups = new Map<string, NodeGroup>()
  private readonly hashes = new Map<string, Hash>()
  private readonly byOutput: boolean
  private stderrHeld = 0
  private readonly maxStderr: number

  /**
   * @param options.byOutput whether stdout counts; else nodes are alike that ended alike
   */
  constructor(options: { readonly byOutput: boolean; readonly maxStderr?: number }) {
    this.byOutput = options.byOutput
    this.maxStderr = options.maxStderr ?? maxStderr
  }

  /** Takes one more event. */
  meet(event: RunStreamEvent): void {
    if (event.event === "output") this.print(event)
    else if (event.event === "end") this.end(event)
    else if (event.event === "done") this.close()
  }

  /** All groups: the largest first, and behind the others those that failed. */
  all(): ReadonlyArray<NodeGroup> {
    const rank = ({ verdict }: NodeGroup) => (verdict === "ok" ? 0 : verdict === "failed" ? 2 : 1)
    return [...this.groups.values()].sort(
      (one, other) => rank(one) - rank(other) || other.nodes.length - one.nodes.length
    )
  }

  private print(event: OutputEvent): void {
    if (!this.byOutput || event.stream !== "stdout") return
    let hash = this.hashes.get(event.node)
    if (hash === undefined) {
      hash = createHash("sha256")
      this.hashes.set(event.node, hash)
    }
    hash.update(EventLine.bytesOf(event))
    if (event.partial === undefined && event.unterminated === undefined) hash.update("\n")
  }

  private digestOf(node: string): string {
    const hash = this.hashes.get(node)
    this.hashes.delete(node)
    return hash === undefined ? noOutput : hash.digest("base64")
  }

  private end(ended: NodeEnded): void {
    const outcome = Outcome.describe(ended)
    const { dropped = 0, stderr } = ended
    const digest = this.digestOf(ended.node)
    this.put(ended.node, { verdict: verdict(ended), outcome, stderr, dropped, digest })
  }

  /** What is left has no end: lines of a relay that is too old to say of which node they are. */
  private close(): void {
    for (const node of [...this.hashes.keys()])
      this.put(node, {
        verdict: undefined,
        outcome: "printed by an older relay, of all its nodes",
        stderr: "",
        dropped: 0,
        digest: this.digestOf(node)
      })
  }

  private put(node: string, alike: Omit<NodeGroup, "nodes" | "stderr"> & { readonly stderr: string }): void {
    const { stderr } = alike
    const stderrDigest = stderr === "" ? "" : createHash("sha256").update(stderr).digest("base64")
    const key = JSON.stringify([alike.verdict, alike.outcome, alike.dropped, alike.digest, stderrDigest])
    const group = this.groups.get(key)
    if (group !== undefined) {
      group.nodes.push(node)
      return
    }
    const isHeld = this.stderrHeld + stderr.length <= this.maxStderr
    if (isHeld) this.stderrHeld += stderr.length
    this.groups.set(key, { ...alike, stderr: isHeld ? stderr : undefined, nodes: [node] })
  }
}
