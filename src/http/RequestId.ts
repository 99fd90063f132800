/** The id of a request: what its answer and the log's lines about it have in common. */
import { randomUUID } from "node:crypto"
import { Context } from "effect"

/** The header that has it, in requests and in answers. */
export const header = "x-request-id"

/** What a caller's own id may be, so that it is one word wherever it is written. */
export const pattern = /^[A-Za-z0-9._-]{1,128}$/

/** The id of the request that is being answered; empty outside of one. */
export class RequestId extends Context.Reference<RequestId>()("rudder-relay/RequestId", {
  defaultValue: () => ""
}) {}

/** The caller's own id where it is sane, else a new one. */
export const of = (given: string | undefined): string =>
  given !== undefined && pattern.test(given) ? given : randomUUID()
