/** A node, as the nodes list has it. */
import type { Option } from "effect"
import type { NodeId } from "../NodeId.ts"

/** A node's entry in the list. */
export interface Node {
  readonly id: NodeId
  /** As the list has it: ends up on a command line or in a URL only after `isHostname`. */
  readonly hostname: string
  readonly policyServer: NodeId
  /** As the list has it (`sha256:HEX`, `sha256//BASE64`, likewise sha512); none when absent or empty. */
  readonly keyHash: Option.Option<string>
}
