/** Who may ask an endpoint, and whether asking changes something: annotations, beside the endpoint that they guard. */
import { Context } from "effect"

/** The rows of the contract's table: `remote-run/*`, `shared-files/*`, `shared-folder/*`, and everything else. */
export type RouteKind = "policyServer" | "nodes" | "sharedFolder" | "admin"

/** Who may ask the endpoints of a group, or one endpoint. */
export class AskedBy extends Context.Tag("rudder-relay/AskedBy")<AskedBy, RouteKind>() {}

/**
 * Whether asking changes something: such a request is refused where another site's page made a browser ask.
 *
 * It belongs to the endpoint itself, so that none gets it from its group without a thought.
 */
export class HasEffect extends Context.Tag("rudder-relay/HasEffect")<HasEffect, boolean>() {}
