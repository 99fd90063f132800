/**
 * A policy server's refusal in the API, where it may have any 4xx; and the errors of HEAD, whose answers have no body.
 */
import { HttpApiSchema } from "@effect/platform"
import { ParseResult, Schema } from "effect"
import type * as Operation from "../http/Operation.ts"
import { isRefusal } from "../peers/RefusalStatus.ts"
import { InvalidRequest, StorageError, TooBusy, UpstreamRejected } from "../RelayError.ts"

const statuses = Array.from({ length: 100 }, (_, n) => 400 + n).filter(isRefusal)

/** `UpstreamRejected` with any of its statuses. */
export const ofUpload: Schema.Schema<UpstreamRejected, typeof UpstreamRejected.Encoded> = Schema.Union(
  UpstreamRejected,
  ...statuses.map((status) => UpstreamRejected.annotations(HttpApiSchema.annotations({ status })))
)

/** The error that a client reads from a status alone, where the answer has no body. Only decoded, never encoded. */
export const bodiless = <A, I>(of: Schema.Schema<A, I>, status: number, meaning: A): Schema.Schema<A, void> =>
  Schema.transformOrFail(Schema.Void, Schema.typeSchema(of), {
    strict: true,
    decode: () => ParseResult.succeed(meaning),
    encode: (value, _, ast) => ParseResult.fail(new ParseResult.Forbidden(ast, value, "only read"))
  }).annotations({
    ...HttpApiSchema.annotations({ status }),
    [HttpApiSchema.AnnotationEmptyDecodeable]: true
  })

const message = (status: number): string => `answered ${status}`

const rejection = (status: number) =>
  bodiless(UpstreamRejected, status, new UpstreamRejected({ message: message(status), status }))

/** The errors of a HEAD, told apart by status alone: a status that may be a refusal is taken for one. */
export const ofCheck: Schema.Schema<InvalidRequest | TooBusy | StorageError | UpstreamRejected, void> =
  Schema.Union(
    bodiless(InvalidRequest, 400, new InvalidRequest({ message: message(400) })),
    bodiless(StorageError, 500, new StorageError({ message: message(500) })),
    bodiless(TooBusy, 503, new TooBusy({ message: message(503), retryAfterSeconds: 10 })),
    ...statuses.filter((status) => status !== 400 && status !== 404).map(rejection)
  )

/**
 * In the description of the API a refusal is one line, not a hundred; `own` are the statuses that this relay says itself,
 * and which so have lines of their own.
 */
export const inShort =
  (...own: ReadonlyArray<number>): Operation.Change =>
  (operation) => {
    const kept = Object.entries(operation.responses ?? {}).filter(
      ([status]) => !/^4/.test(status) || own.includes(Number(status))
    )
    const refused: Operation.Answer = {
      description: "the policy server's refusal, with its own status",
      content: { "application/json": { schema: { $ref: "#/components/schemas/UpstreamRejected" } } }
    }
    return { ...operation, responses: { ...Object.fromEntries(kept), "4XX": refused } }
  }
