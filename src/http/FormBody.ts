/** The form of a request, read within its bounds. */
import type { HttpServerRequest } from "@effect/platform"
import { type Duration, Effect } from "effect"
import { InvalidRequest, PayloadTooLarge, type RequestTimeout } from "../RelayError.ts"
import * as BodyPace from "./BodyPace.ts"
import * as RequestBody from "./RequestBody.ts"

/** A form is at most this long. Bytes. */
export const maxFormLength = 1024 * 1024

/** The slowest that a form may come, averaged over the time that a body may stand still. Bytes a second. */
const minRate = 1024

const formType = "application/x-www-form-urlencoded"

const tooLong = new PayloadTooLarge({ message: "a form is at most 1 MiB", limit: maxFormLength })

/**
 * The entries of an `application/x-www-form-urlencoded` body; none where there is no body. Fails with `InvalidRequest`
 * for another type, for one that is compressed and where the body breaks off, with `PayloadTooLarge` over 1 MiB, before it is read where its length is
 * announced, and with `RequestTimeout` where it stops coming, or comes at less than 1 KiB a second.
 *
 * @param idle so long the body may stand still
 */
export const read = (
  request: HttpServerRequest.HttpServerRequest,
  idle: Duration.Duration
): Effect.Effect<
  ReadonlyArray<readonly [string, string]>,
  InvalidRequest | PayloadTooLarge | RequestTimeout
> =>
  Effect.gen(function* () {
    const announced = Number(request.headers["content-length"] ?? 0)
    if (announced === 0 && request.headers["transfer-encoding"] === undefined) return []
    const type = request.headers["content-type"]?.split(";")[0]?.trim().toLowerCase()
    if (type !== undefined && type !== formType)
      return yield* new InvalidRequest({
        parameter: "Content-Type",
        message: `Content-Type: expected ${formType}`
      })
    yield* RequestBody.plain(request)
    if (announced > maxFormLength) return yield* tooLong
    return [...new URLSearchParams(yield* bodyText(request, idle))]
  })

const bodyText = (request: HttpServerRequest.HttpServerRequest, idle: Duration.Duration) =>
  Effect.gen(function* () {
    const body = yield* RequestBody.open(request)
    const limits = { idle, minRate, minRateSetBy: "a form comes at 1 KiB a second at least" }
    return yield* BodyPace.within(limits, body)(collect(body))
  }).pipe(Effect.scoped)

const collect = (body: RequestBody.RequestBody) =>
  Effect.gen(function* () {
    const parts: Array<Buffer> = []
    let length = 0
    for (let bytes = yield* body.next; bytes !== undefined; bytes = yield* body.next) {
      length += bytes.length
      if (length > maxFormLength) return yield* tooLong
      parts.push(bytes)
    }
    return Buffer.concat(parts).toString("utf8")
  })
