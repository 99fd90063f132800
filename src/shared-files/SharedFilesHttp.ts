/** Maps requests to shared files. */

import { type HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { Effect, Either, Option, Schema } from "effect"
import { Access } from "../access/Access.ts"
import { callerOf } from "../access/Caller.ts"
import { RelayConfig } from "../config/RelayConfig.ts"
import type { ContentHash } from "../disk/ContentHash.ts"
import * as Query from "../http/Query.ts"
import * as RawHandlers from "../http/RawHandlers.ts"
import * as RequestBody from "../http/RequestBody.ts"
import { RelayApi } from "../RelayApi.ts"
import { type AccessDenied, InvalidRequest, RequestTimeout, UpstreamRejected } from "../RelayError.ts"
import * as RequestReport from "../RequestReport.ts"
import type { SharedFileName } from "./file/FileId.ts"
import * as SharedFileRequest from "./SharedFileRequest.ts"
import {
  type Accepted,
  SharedFiles,
  type SharedFilesService,
  type Upload,
  type UploadError
} from "./SharedFiles.ts"
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
  Effect.as(
    RequestReport.add({ tag: error._tag, error: error.message }),
    HttpServerResponse.text(JSON.stringify(encodeRejected(error)), { ...json, status: error.status })
  )

const encodeRejected = Schema.encodeSync(UpstreamRejected)

/** What uploads are taken with. They are handed over: to provide them to each request costs more than to look at one. */
interface Services {
  readonly access: Access["Type"]
  readonly limits: RelayConfig["Type"]["limits"]
  readonly sharedFiles: SharedFilesService
}

const answerTo = (result: Accepted) =>
  HttpServerResponse.text(`${JSON.stringify(accepted(result))}\n`, {
    ...json,
    status: result.result === "stored" ? 200 : 202
  })

const upload = (
  { access, sharedFiles }: Services,
  request: Request,
  name: SharedFileName,
  body: Upload["body"],
  announcement: Upload["announcement"]
): Effect.Effect<
  HttpServerResponse.HttpServerResponse,
  Exclude<UploadError, UpstreamRejected> | AccessDenied
> => {
  const address = access.clientAddress(callerOf(request))
  if (Either.isLeft(address)) return address.left
  const plain = RequestBody.plain(request)
  if (Either.isLeft(plain)) return plain.left
  const announced = RequestBody.announced(request)
  const given = { name, announced, announcement, body, address: address.right }
  return Effect.map(sharedFiles.upload(given), answerTo).pipe(Effect.catchTag("UpstreamRejected", passOn))
}

const sourceOf = (search: URLSearchParams): Either.Either<string, InvalidRequest> =>
  Either.flatMap(
    Query.parameter(search, "source-uuid"),
    Either.fromOption(
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

const nameOf = (search: URLSearchParams, path: NodePath): Either.Either<SharedFileName, InvalidRequest> =>
  Either.flatMap(sourceOf(search), (source) =>
    SharedFileRequest.decodeName(path.target_uuid, source, path.file_id)
  )

const share = (services: Services, request: Request, path: NodePath) =>
  Effect.suspend(() => {
    const search = Query.of(request)
    const name = nameOf(search, path)
    if (Either.isLeft(name)) return name.left
    const announcement = Effect.suspend(() =>
      Either.map(SharedFileRequest.decodePost(search), (claim) => ({ claim, length: 0 }))
    )
    return upload(services, request, name.right, RequestBody.open(request), announcement)
  })

interface OlderPath {
  readonly target: string
  readonly source: string
  readonly file_id: string
}

/** `node` is where the other form of these routes begins, and no node's id. */
const olderNameOf = ({
  target,
  source,
  file_id
}: OlderPath): Either.Either<SharedFileName, InvalidRequest> =>
  target === "node"
    ? Either.left(
        new InvalidRequest({ parameter: "target_uuid", message: "target_uuid: expected a node's id" })
      )
    : SharedFileRequest.decodeName(target, source, file_id)

const tooSlow = new RequestTimeout({ message: "header block: not within limits.headers_timeout" })

const put = (services: Services, request: Request, path: OlderPath) =>
  Effect.gen(function* () {
    const { limits } = services
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
    return yield* upload(services, request, name, body, announcement)
  })

/** So that the source sends the file, and the outbox keeps it: sent twice it does no harm, not sent it would be lost. */
const notKnown = Effect.succeed(
  HttpServerResponse.empty({ status: 404, headers: { "relay-upstream": "unreachable" } })
)

const here = HttpServerResponse.empty({ status: 200 })
const absent = HttpServerResponse.empty({ status: 404 })

const answer = (sharedFiles: SharedFilesService, name: SharedFileName, hash: ContentHash) =>
  sharedFiles.has(name, hash).pipe(
    Effect.map((isHere) => (isHere ? here : absent)),
    Effect.catchTags({ UpstreamFatal: () => notKnown, UpstreamRejected: passOn })
  )

const noHash = new InvalidRequest({ parameter: "hash", message: "hash: expected the content's hash" })

type Checked = ReturnType<typeof answer> | Effect.Effect<typeof absent, InvalidRequest>

/** What is asked most of all, in both forms: it is made without an effect for each of its steps. */
const check = (sharedFiles: SharedFilesService, request: Request, path: NodePath) =>
  Effect.suspend((): Checked => {
    const search = Query.of(request)
    const name = nameOf(search, path)
    if (Either.isLeft(name)) return name.left
    const hash = SharedFileRequest.decodeAsked(search)
    if (Either.isLeft(hash)) return hash.left
    return Option.isSome(hash.right) ? answer(sharedFiles, name.right, hash.right.value) : noHash
  })

const head = (sharedFiles: SharedFilesService, request: Request, path: OlderPath) =>
  Effect.suspend((): Checked => {
    const name = olderNameOf(path)
    if (Either.isLeft(name)) return name.left
    const hash = SharedFileRequest.decodeOlderAsked(Query.of(request))
    if (Either.isLeft(hash)) return hash.left
    return Option.isSome(hash.right)
      ? answer(sharedFiles, name.right, hash.right.value)
      : Effect.succeed(absent)
  })

/** The handlers of these routes. */
export const layer = RawHandlers.group(
  RelayApi,
  "sharedFiles",
  Effect.gen(function* () {
    const sharedFiles = yield* SharedFiles
    const { limits } = yield* RelayConfig
    const services: Services = { access: yield* Access, limits, sharedFiles }
    return {
      share: ({ request, path }) => share(services, request, path),
      check: ({ request, path }) => check(sharedFiles, request, path),
      put: ({ request, path }) => put(services, request, path),
      head: ({ request, path }) => head(sharedFiles, request, path)
    }
  })
)
