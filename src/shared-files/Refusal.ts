/**
 * A policy server's refusal in the API, where it may have any 4xx; and the errors of HEAD, whose answers have no body.
 */
import { HttpApiSchema } from "@effect/platform"
import { ParseResult, Schema, SchemaAST } from "effect"
import type * as Operation from "../http/Operation.ts"
import { isRefusal } from "../peers/RefusalStatus.ts"
import { InvalidRequest, StorageError, TooBusy, UpstreamRejected } from "../RelayError.ts"

const statuses = Array.from({ length: 100 }, (_, n) => 400 + n).filter(isRefusal)

/**
 * `UpstreamRejected` with any of its statuses. Of each there is the description alone: to make schemas of a hundred would be
 * a tenth of a start.
 */
export const ofUpload = Schema.make<UpstreamRejected, typeof UpstreamRejected.Encoded>(
  SchemaAST.Union.make([
    UpstreamRejected.ast,
    ...statuses.map((status) =>
      SchemaAST.annotations(UpstreamRejected.ast, HttpApiSchema.annotations({ status }))
    )
  ])
)

/** What `bodiless` is to be, as its description. What it means is made where a client reads it. */
const bodilessAst = (of: SchemaAST.AST, status: number, meaning: () => unknown): SchemaAST.AST =>
  new SchemaAST.Transformation(
    SchemaAST.voidKeyword,
    of,
    new SchemaAST.FinalTransformation(
      () => ParseResult.succeed(meaning()),
      (value, _, ast) => ParseResult.fail(new ParseResult.Forbidden(ast, value, "only read"))
    ),
    { ...HttpApiSchema.annotations({ status }), [HttpApiSchema.AnnotationEmptyDecodeable]: true }
  )

/** The error that a client reads from a status alone, where the answer has no body. Only decoded, never encoded. */
export const bodiless = <A, I>(of: Schema.Schema<A, I>, status: number, meaning: A): Schema.Schema<A, void> =>
  Schema.make(bodilessAst(SchemaAST.typeAST(of.ast), status, () => meaning))

const message = (status: number): string => `answered ${status}`

const refused = SchemaAST.typeAST(UpstreamRejected.ast)

/** `UpstreamRejected` by the status alone. */
const byStatus = Schema.make<UpstreamRejected, void>(
  SchemaAST.Union.make(
    statuses
      .filter((status) => status !== 400 && status !== 404)
      .map((status) =>
        bodilessAst(refused, status, () => new UpstreamRejected({ message: message(status), status }))
      )
  )
)

/** The errors of a HEAD, told apart by status alone: a status that may be a refusal is taken for one. */
export const ofCheck: Schema.Schema<InvalidRequest | TooBusy | StorageError | UpstreamRejected, void> =
  Schema.Union(
    bodiless(InvalidRequest, 400, new InvalidRequest({ message: message(400) })),
    bodiless(StorageError, 500, new StorageError({ message: message(500) })),
    bodiless(TooBusy, 503, new TooBusy({ message: message(503), retryAfterSeconds: 10 })),
    byStatus
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
    const refusal: Operation.Answer = {
      description: "the policy server's refusal, with its own status",
      content: { "application/json": { schema: { $ref: "#/components/schemas/UpstreamRejected" } } }
    }
    return { ...operation, responses: { ...Object.fromEntries(kept), "4XX": refusal } }
  }
