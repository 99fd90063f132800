/** Maps requests to files of the shared folder. */

import { Readable } from "node:stream"
import { HttpApiBuilder, type HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { Effect, Option } from "effect"
import type { ContentHash } from "../disk/ContentHash.ts"
import * as Query from "../http/Query.ts"
import { RelayApi } from "../RelayApi.ts"
import { NotFound } from "../RelayError.ts"
import * as Conditions from "./Conditions.ts"
import * as FolderPath from "./FolderPath.ts"
import * as FolderRequest from "./FolderRequest.ts"
import { type FolderFile, SharedFolder } from "./SharedFolder.ts"

type Request = HttpServerRequest.HttpServerRequest

/** The path as it was sent: decoded by the router, a slash in a name would look like one between names. */
const pathOf = ({ url }: Request): string => (url.split("?")[0] ?? "").replace("/shared-folder/", "")

const find = (request: Request) =>
  Effect.gen(function* () {
    const folder = yield* SharedFolder
    const path = FolderPath.parse(pathOf(request))
    const file = Option.isSome(path) ? yield* folder.open(path.value) : Option.none()
    return yield* Effect.mapError(file, () => new NotFound({ message: "no such file in the shared folder" }))
  })

/** Whether the caller has this content, by the hash that it sends. */
const isKnown = (file: FolderFile, known: Option.Option<ContentHash>) =>
  Effect.gen(function* () {
    if (Option.isNone(known)) return false
    const { algorithm, hex } = known.value
    return Option.contains(yield* file.hash(algorithm), hex)
  })

const content = (request: Request, file: FolderFile, range: Conditions.ByteRange, status: 200 | 206) => {
  const length = Math.max(0, range.end - range.start + 1)
  const part = status === 206 ? { "content-range": `bytes ${range.start}-${range.end}/${file.size}` } : {}
  const headers = { "content-type": "application/octet-stream", "content-length": String(length), ...part }
  return request.method === "HEAD"
    ? HttpServerResponse.empty({ status, headers })
    : HttpServerResponse.raw(Readable.from(file.read(range)), { status, headers })
}

const answer = (request: Request, file: FolderFile, selection: Conditions.Selection) => {
  switch (selection._tag) {
    case "NotModified":
      return HttpServerResponse.empty({ status: 304 })
    case "Unsatisfiable":
      return HttpServerResponse.empty({
        status: 416,
        headers: { "content-range": `bytes */${file.size}`, "content-length": "0" }
      })
    case "Part":
      return content(request, file, selection.range, 206)
    case "Whole":
      return content(request, file, { start: 0, end: file.size - 1 }, 200)
  }
}

const serve = (request: Request) =>
  Effect.gen(function* () {
    const known = yield* FolderRequest.decodeKnown(Query.of(request))
    const file = yield* find(request)
    const validators = { etag: file.etag, "last-modified": new Date(file.modified).toUTCString() }
    const selection: Conditions.Selection = (yield* isKnown(file, known))
      ? { _tag: "NotModified" }
      : Conditions.select(request.method, request.headers, file.size, validators)
    return HttpServerResponse.setHeaders(answer(request, file, selection), {
      ...validators,
      "accept-ranges": "bytes"
    })
  })

/** The handlers of these routes. */
export const layer = HttpApiBuilder.group(RelayApi, "sharedFolder", (handlers) =>
  handlers
    .handleRaw("getFile", ({ request }) => serve(request))
    .handleRaw("headFile", ({ request }) => serve(request))
)
