/** Maps requests to shared files. */

import { HttpServerResponse } from "@effect/platform"
import { Effect, Either, Exit, Option, Schema } from "effect"
import * as AtOnce from "../AtOnce.ts"
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
  type Announcement,
  SharedFiles,
  type SharedFilesService,
  type Upload,
  type UploadError
} from "./SharedFiles.ts"
import { type Queued, type Stored, uploadParameters } from "./SharedFilesApi.ts"
import * as UploadHeader from "./upload/UploadHeader.ts"

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

/** As text, of which node makes one piece with the head; all of it is ASCII. */
const answerTo = (result: Accepted) => {
  const text = `${JSON.stringify(accepted(result))}\n`
  return HttpServerResponse.raw(text, {
    contentType: json.contentType,
    contentLength: text.length,
    status: result.result === "stored" ? 200 : 202
  })
}

const upload = (
  { access, sharedFiles }: Services,
  { request, batch }: RawHandlers.Given,
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
  const given = { name, announced, announcement, body, address: address.right, batch }
  return AtOnce.map(sharedFiles.upload(given), answerTo).pipe(Effect.catchTag("UpstreamRejected", passOn))
}

const noSource = () => Query.invalid("source-uuid", "the id of the node that sends the file")

interface NodePath {
  readonly target_uuid: string
  readonly file_id: string
}

const nameOf = (search: Query.Parameters, path: NodePath): Either.Either<SharedFileName, InvalidRequest> => {
  const source = Query.parameter(search, "source-uuid")
  if (Either.isLeft(source)) return Either.left(source.left)
  return Option.isSome(source.right)
    ? SharedFileRequest.decodeName(path.target_uuid, source.right.value, path.file_id)
    : Either.left(noSource())
}

const share = (services: Services, { path, query }: RawHandlers.Address<NodePath>) => {
  const search = Query.parse(query)
  const known = Query.onlyKnown(search, uploadParameters.share)
  if (Either.isLeft(known)) return () => known.left
  const name = nameOf(search, path)
  if (Either.isLeft(name)) return () => name.left
  const announcement = Effect.suspend((): Effect.Effect<Announcement, InvalidRequest> => {
    const claim = SharedFileRequest.decodePost(search)
    return Either.isLeft(claim) ? claim.left : Effect.succeed({ claim: claim.right, length: 0 })
  })
  return (given: RawHandlers.Given) =>
    upload(services, given, name.right, RequestBody.open(given.request), announcement)
}

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

const put = (services: Services, given: RawHandlers.Given, path: OlderPath, query: string) =>
  Effect.gen(function* () {
    const { limits } = services
    const search = Query.parse(query)
    yield* Query.onlyKnown(search, uploadParameters.put)
    const name = yield* olderNameOf(path)
    const body = yield* Effect.cached(RequestBody.open(given.request))
    const announcement = Effect.gen(function* () {
      const ttl = yield* Query.parameter(search, "ttl")
      const text = Option.getOrElse(ttl, () => "")
      yield* SharedFileRequest.decodeTtl(text)
      // Nothing is proved before it is here, and it holds a place: it does not come at its sender's leisure.
      const { block, length } = yield* UploadHeader.readWithin(yield* body, limits.bodyIdleTimeout).pipe(
        Effect.timeoutFail({ duration: limits.headersTimeout, onTimeout: () => tooSlow })
      )
      const claim = yield* SharedFileRequest.decodeBlock(block, text)
      return { claim, length }
    })
    return yield* upload(services, given, name, body, announcement)
  })

/** So that the source sends the file, and the outbox keeps it: sent twice it does no harm, not sent it would be lost. */
const notKnown = Effect.succeed(
  HttpServerResponse.empty({ status: 404, headers: { "relay-upstream": "unreachable" } })
)

const here = Exit.succeed(HttpServerResponse.empty({ status: 200 }))
const absent = Exit.succeed(HttpServerResponse.empty({ status: 404 }))

const answer = (sharedFiles: SharedFilesService, name: SharedFileName, hash: ContentHash) =>
  sharedFiles.has(name, hash).pipe(
    Effect.flatMap((isHere) => (isHere ? here : absent)),
    Effect.catchTags({ UpstreamFatal: () => notKnown, UpstreamRejected: passOn })
  )

const noHash = new InvalidRequest({ parameter: "hash", message: "hash: expected the content's hash" })

/** At once, where that is wanted and a look is enough. */
const checked = (
  sharedFiles: SharedFilesService,
  name: SharedFileName,
  hash: ContentHash
): ((given: RawHandlers.Given) => ReturnType<typeof answer>) => {
  const look = sharedFiles.lookAt?.(name, hash)
  return ({ isAtOnce, batch }) => {
    const isHere = isAtOnce ? look?.(batch) : undefined
    if (isHere === undefined) return answer(sharedFiles, name, hash)
    return isHere ? here : absent
  }
}

/** What is asked most of all, in both forms: it is made without an effect for each of its steps. */
const check = (sharedFiles: SharedFilesService, { path, query }: RawHandlers.Address<NodePath>) => {
  const search = Query.parse(query)
  const name = nameOf(search, path)
  if (Either.isLeft(name)) return () => name.left
  const hash = SharedFileRequest.decodeAsked(search)
  if (Either.isLeft(hash)) return () => hash.left
  return Option.isSome(hash.right) ? checked(sharedFiles, name.right, hash.right.value) : () => noHash
}

const head = (sharedFiles: SharedFilesService, { path, query }: RawHandlers.Address<OlderPath>) => {
  const name = olderNameOf(path)
  if (Either.isLeft(name)) return () => name.left
  const hash = SharedFileRequest.decodeOlderAsked(Query.parse(query))
  if (Either.isLeft(hash)) return () => hash.left
  return Option.isSome(hash.right) ? checked(sharedFiles, name.right, hash.right.value) : () => absent
}

/** The handlers of these routes. */
export const layer = RawHandlers.group(
  RelayApi,
  "sharedFiles",
  Effect.gen(function* () {
    const sharedFiles = yield* SharedFiles
    const { limits } = yield* RelayConfig
    const services: Services = { access: yield* Access, limits, sharedFiles }
    return {
      share: (address) => share(services, address),
      check: (address) => check(sharedFiles, address),
      put:
        ({ path, query }) =>
        (given) =>
          put(services, given, path, query),
      head: (address) => head(sharedFiles, address)
    }
  })
)
