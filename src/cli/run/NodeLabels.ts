/** What nodes are called in what is printed. */
import { isHostname } from "../../Hostname.ts"
import * as Printable from "../../Printable.ts"

/** Host names where they are known and one node's alone, else ids. */
export class NodeLabels {
  private readonly hostnames = new Map<string, string>()
  /** The node that has a name; undefined where several have it. */
  private readonly owners = new Map<string, string | undefined>()

  /** @param hostnames by ids, as far as they are known beforehand */
  constructor(hostnames: ReadonlyMap<string, string> = new Map()) {
    for (const [node, hostname] of hostnames) this.learn(node, hostname)
  }

  /** Host names come from inventories: what is none is not shown. */
  learn(node: string, hostname: string): void {
    if (!isHostname(hostname) || this.hostnames.get(node) === hostname) return
    this.hostnames.set(node, hostname)
    this.owners.set(hostname, this.owners.has(hostname) ? undefined : node)
  }

  /** What a node is called. */
  of(node: string): string {
    const hostname = this.hostnames.get(node)
    return hostname !== undefined && this.owners.get(hostname) === node ? hostname : Printable.line(node)
  }
}
