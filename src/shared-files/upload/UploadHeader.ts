/** What stands at the beginning of an upload's body, before the content. */
import { type Duration, Effect } from "effect"
import * as BodyPace from "../../http/BodyPace.ts"
import type { RequestBody } from "../../http/RequestBody.ts"
import { InvalidRequest, type RequestTimeout } from "../../RelayError.ts"
import { type HeaderBlock, HeaderReader } from "../file/HeaderBlock.ts"

/** A header block that was read. */
export interface UploadHeader {
  readonly block: HeaderBlock
  /** Bytes that it took. */
  readonly length: number
}

const noEnd = new InvalidRequest({ message: "header block: the body ends in it" })

/** Reads the header block; what comes behind it is still to be read. `InvalidRequest`: it is none, or breaks off. */
export const read = (body: RequestBody): Effect.Effect<UploadHeader, InvalidRequest> =>
  Effect.gen(function* () {
    const reader = new HeaderReader()
    for (let bytes = yield* body.next; bytes !== undefined; bytes = yield* body.next) {
      const found = yield* reader.push(bytes)
      if (found === undefined) continue
      body.putBack(found.rest)
      return { block: found.block, length: found.length }
    }
    return yield* noEnd
  })

/**
 * The same, of a body that is still to come. `RequestTimeout`: it stopped coming.
 *
 * @param idle so long it may stand still
 */
export const readWithin = (
  body: RequestBody,
  idle: Duration.Duration
): Effect.Effect<UploadHeader, InvalidRequest | RequestTimeout> =>
  BodyPace.within({ idle, minRate: 0 }, body)(read(body))
