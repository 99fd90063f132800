/** What can be asked about shared files. */
import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "@effect/platform"
import { Schema } from "effect"
import { AskedBy, HasEffect } from "../access/RouteAccess.ts"
import {
  PayloadTooLarge,
  RequestTimeout,
  StorageError,
  StorageFull,
  TooBusy,
  UnknownTarget
} from "../RelayError.ts"
import { BadSignature } from "./file/SharedFileError.ts"
import * as Refusal from "./Refusal.ts"

const description = (text: string) => ({ description: text })

/** Taken as it comes: the handlers decode it, so that every error names the parameter as the contract does. */
const parameter = (text: string) => Schema.optional(Schema.String.annotations(description(text)))

const id = (text: string) =>
  Schema.String.annotations(description(`${text}: ^[A-Za-z0-9._-]{1,200}$, neither '.' nor '..'`))

const NodePath = Schema.Struct({
  target: id("the node that the file is for"),
  fileId: id("the file's name, not ending in .metadata")
})

const OlderPath = Schema.Struct({
  target: id("the node that the file is for"),
  source: id("the node that sends it"),
  fileId: id("the file's name, not ending in .metadata")
})

const ttl = parameter(
  "units in any order, added up (1week, 2d 3h, 90min), or seconds; absent or empty: for ever"
)
const hash = parameter("the content's hash in hex: 64 digits are sha256, 128 sha512")

const ShareParameters = Schema.Struct({
  "source-uuid": parameter("required: the node that sends it"),
  signature: parameter("required: RSA PKCS#1 v1.5 over the content; hex, base64 or base64url"),
  algorithm: parameter("sha512 (default) or sha256"),
  "public-key": parameter("the source's key: base64 of its PKCS#1 DER, in one line"),
  hash,
  ttl,
  date: parameter("RFC 3339; together with request-signature"),
  "request-signature": parameter(
    "the same kind of signature over the lines rudder-relay-2, target, source, file id, ttl, date, <algorithm>:<hash>"
  )
})

const CheckParameters = Schema.Struct({
  "source-uuid": parameter("required: the node that sent it"),
  hash,
  algorithm: parameter("follows from the hash's length")
})

const described = {
  /** Hex. */
  hash: Schema.String,
  algorithm: Schema.Literal("sha256", "sha512"),
  /** Bytes. */
  size: Schema.Number,
  /** Unix time; null: never. */
  expires: Schema.NullOr(Schema.Number)
}

/** The file is on the disk, here or with the policy server. */
export const Stored = Schema.Struct({ result: Schema.Literal("stored"), ...described })
/** The answer to an upload that its target has. */
export type Stored = typeof Stored.Type

/** The file is on the disk here, on its way to the policy server. */
export const Queued = Schema.Struct({ result: Schema.Literal("queued"), ...described })
/** The answer to an upload that waits here. */
export type Queued = typeof Queued.Type

const stores = <const Name extends string>(name: Name, method: "POST" | "PUT", path: `/${string}`) =>
  HttpApiEndpoint.make(method)(name, path)
    .addSuccess(Stored)
    .addSuccess(Queued, { status: 202 })
    .addError(BadSignature)
    .addError(UnknownTarget)
    .addError(Refusal.ofUpload)
    .addError(PayloadTooLarge)
    .addError(RequestTimeout)
    .addError(TooBusy)
    .addError(StorageError)
    .addError(StorageFull)
    .annotate(HasEffect, true)
    .annotate(OpenApi.Transform, Refusal.inShort)

/** An answer to HEAD is its status alone. */
const Here = Refusal.bodiless(Schema.Literal("here"), 200, "here")
const Absent = Refusal.bodiless(Schema.Literal("absent"), 404, "absent")

const checks = <const Name extends string>(name: Name, path: `/${string}`) =>
  HttpApiEndpoint.make("HEAD")(name, path)
    .addSuccess(Here)
    .addSuccess(Absent)
    .addError(UnknownTarget)
    .addError(TooBusy)
    .addError(StorageError)
    .annotate(HasEffect, false)
    .addError(Refusal.ofCheck)
    .annotate(OpenApi.Transform, Refusal.inShort)

/** The routes of shared files, in this form and in the older one. */
export class SharedFilesApi extends HttpApiGroup.make("sharedFiles")
  .add(
    stores("share", "POST", "/shared-files/node/:target/:fileId")
      .setPath(NodePath)
      .setUrlParams(ShareParameters)
      .annotate(OpenApi.Summary, "Share a file with a node; the body is the content")
  )
  .add(
    checks("check", "/shared-files/node/:target/:fileId")
      .setPath(NodePath)
      .setUrlParams(CheckParameters)
      .annotate(OpenApi.Summary, "Whether that file is here with that hash: 200 or 404")
  )
  .add(
    stores("put", "PUT", "/shared-files/:target/:source/:fileId")
      .setPath(OlderPath)
      .setUrlParams(Schema.Struct({ ttl }))
      .annotate(
        OpenApi.Summary,
        "Share a file, for existing agents; the body is a header block, an empty line, and the content"
      )
  )
  .add(
    checks("head", "/shared-files/:target/:source/:fileId")
      .setPath(OlderPath)
      .setUrlParams(Schema.Struct({ hash }))
      .annotate(OpenApi.Summary, "Whether that file is here with that hash: 200 or 404, for existing agents")
  )
  .annotate(AskedBy, "nodes")
  .annotate(OpenApi.Title, "Shared files")
  .annotate(OpenApi.Description, "Signed files that one node shares with another.") {}
