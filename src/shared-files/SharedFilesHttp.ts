/** Maps requests to shared files. */

import { HttpApiBuilder, type HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { Effect, Option, Schema } from "effect"
import { Access } from "../access/Access.ts"
import { callerOf } from "../access/Caller.ts"
import { RelayConfig } from "../config/RelayConfig.ts"
import type { ContentHash } from "../disk/ContentHash.ts"
import * as Query from "../http/Query.ts"
import * as RequestBody from "../http/RequestBody.ts"
import { RelayApi } from "../RelayApi.ts"
import { InvalidRequest, RequestTimeout, UpstreamRejected } from "../RelayError.ts"
import type { SharedFileName } from "./file/FileId.ts"
import * as SharedFileRequest from "./SharedFileRequest.ts"
import { type Accepted, SharedFiles, type Upload } from "./SharedFiles.ts"
import type { Queued, Stored } from "./SharedFilesApi.ts"
import * as UploadHeader from "./upload/UploadHeader.ts"

type Request = HttpServerRequest.HttpServerRequest

const json = { contentType: "application/json" }

const accepted = ({ result, hash, size, expires }: Accepted): Stored | Queued => ({
  result,
  hash: hash.hex,
  algorithm: hash.algorithm,
  size,
  expires: Option.getOrNull(expires)
})

/** The policy server's own status, which no annotation can know. */
const passOn = (error: UpstreamRejected) =>
  Effect.succeed(
    HttpServerResponse.text(JSON.stringify(encodeRejected(error)), { ...json, status: error.status })
  )

const encodeRejected = Schema.encodeSync(UpstreamRejected)

const upload = (
  request: Request,
  name: SharedFileName,
  body: Upload["body"],
  announcement: Upload["announcement"]
) =>
  Effect.gen(function* () {
    const access = yield* Access
    const sharedFiles = yield* SharedFiles
    const address = yield* access.clientAddress(callerOf(request))
    const announced = RequestBody.announced(request)
    const result = yield* sharedFiles.upload({ name, announced, announcement, body, address })
    return HttpServerResponse.text(`${JSON.stringify(accepted(result))}\n`, {
      ...json,
      status: result.result === "stored" ? 200 : 202
    })
  }).pipe(Effect.catchTag("UpstreamRejected", passOn))

const sourceOf = (search: URLSearchParams) =>
  Effect.flatMap(
    Query.parameter(search, "source-uuid"),
    Effect.mapError(
      () =>
        new InvalidRequest({
          parameter: "source-uuid",
          message: "source-uuid: expected the id of the node that sends the file"
        })
    )
  )

interface NodePath {
  readonly target_uuid: string
  readonly file_id: string
}

const nameOf = (request: Request, path: NodePath) =>
  Effect.gen(function* () {
    const source = yield* sourceOf(Query.of(request))
    return yield* SharedFileRequest.decodeName(path.target_uuid, source, path.file_id)
  })

const share = (request: Request, path: NodePath) =>
  Effect.gen(function* () {
    const name = yield* nameOf(request, path)
    const announcement = Effect.suspend(() => SharedFileRequest.decodePost(Query.of(request))).pipe(
      Effect.map((claim) => ({ claim, length: 0 }))
    )
    return yield* upload(request, name, RequestBody.open(request), announcement)
  })

interface OlderPath {
  readonly target: string
  readonly source: string
  readonly file_id: string
}

/** `node` is where the other form of these routes begins, and no node's id. */
const olderNameOf = ({ target, source, file_id }: OlderPath) =>
  target === "node"
    ? new InvalidRequest({ parameter: "target_uuid", message: "target_uuid: expected a node's id" })
    : SharedFileRequest.decodeName(target, source, file_id)

const tooSlow = new RequestTimeout({ message: "header block: not within limits.headers_timeout" })

const put = (request: Request, path: OlderPath) =>
  Effect.gen(function* () {
    const { limits } = yield* RelayConfig
    const name = yield* olderNameOf(path)
    const body = yield* Effect.cached(RequestBody.open(request))
    const announcement = Effect.gen(function* () {
      const ttl = yield* Query.parameter(Query.of(request), "ttl")
      const text = Option.getOrElse(ttl, () => "")
      yield* SharedFileRequest.decodeTtl(text)
      // Nothing is proved before it is here, and it holds a place: it does not come at its sender's leisure.
      const { block, length } = yield* UploadHeader.readWithin(yield* body, limits.bodyIdleTimeout).pipe(
        Effect.timeoutFail({ duration: limits.headersTimeout, onTimeout: () => tooSlow })
      )
      const claim = yield* SharedFileRequest.decodeBlock(block, text)
      return { claim, length }
    })
    return yield* upload(request, name, body, announcement)
  })

/** So that the source sends the file, and the outbox keeps it: sent twice it does no harm, not sent it would be lost. */
const notKnown = Effect.succeed(
  HttpServerResponse.empty({ status: 404, headers: { "relay-upstream": "unreachable" } })
)

const answer = (name: SharedFileName, hash: ContentHash) =>
  Effect.gen(function* () {
    const sharedFiles = yield* SharedFiles
    return HttpServerResponse.empty({ status: (yield* sharedFiles.has(name, hash)) ? 200 : 404 })
  }).pipe(Effect.catchTags({ UpstreamFatal: () => notKnown, UpstreamRejected: passOn }))

const check = (request: Request, path: NodePath) =>
  Effect.gen(function* () {
    const name = yield* nameOf(request, path)
    const hash = yield* SharedFileRequest.decodeAsked(Query.of(request))
    if (Option.isNone(hash))
      return yield* new InvalidRequest({ parameter: "hash", message: "hash: expected the content's hash" })
    return yield* answer(name, hash.value)
  })

const head = (request: Request, path: OlderPath) =>
  Effect.gen(function* () {
    const name = yield* olderNameOf(path)
    const hash = yield* SharedFileRequest.decodeOlderAsked(Query.of(request))
    return Option.isSome(hash) ? yield* answer(name, hash.value) : HttpServerResponse.empty({ status: 404 })
  })

/** The handlers of these routes. */
export const layer = HttpApiBuilder.group(RelayApi, "sharedFiles", (handlers) =>
  handlers
    .handleRaw("share", ({ request, path }) => share(request, path))
    .handleRaw("check", ({ request, path }) => check(request, path))
    .handleRaw("put", ({ request, path }) => put(request, path))
    .handleRaw("head", ({ request, path }) => head(request, path))
)
