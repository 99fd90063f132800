/** What can be asked about shared files. */
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "@effect/platform"
import { Schema } from "effect"
import { AskedBy, HasEffect } from "../access/RouteAccess.ts"
import * as Described from "../http/Described.ts"
import * as Operation from "../http/Operation.ts"
import * as NodeId from "../NodeId.ts"
import {
  InvalidRequest,
  PayloadTooLarge,
  RequestTimeout,
  StorageError,
  StorageFull,
  TooBusy,
  UnknownTarget
} from "../RelayError.ts"
import * as FileId from "./file/FileId.ts"
import { BadSignature } from "./file/SharedFileError.ts"
import * as Refusal from "./Refusal.ts"

const target = "the id of the node that the file is for"
const fileId = Described.segment("the file's name, which does not end in .metadata", {
  pattern: FileId.pattern.source,
  examples: ["motd"]
})

const NodePath = Schema.Struct({
  target_uuid: Described.segment(target, Described.nodeId),
  file_id: fileId
})

/** `node` is where the other form of these routes begins, and no node's id. */
const olderTarget = { ...Described.nodeId, pattern: NodeId.pattern.source.replace("^", "^(?!node$)") }

const OlderPath = Schema.Struct({
  target: Described.segment(target, olderTarget),
  source: Described.segment("the id of the node that sends it", Described.nodeId),
  file_id: fileId
})

const ttl = Described.optional(
  "how long the file is kept: units in any order, added up, or seconds; absent or empty: for ever",
  { pattern: "^[0-9A-Za-zµ +\\t]*$", examples: ["1week", "2d 3h", "90min", "3600"] }
)
const algorithm: Described.Form = { enum: ["sha512", "sha256"] }
const source = Described.required("the id of the node that sends the file", Described.nodeId)

const ShareParameters = Schema.Struct({
  "source-uuid": source,
  signature: Described.required(
    "the source's signature over the content: RSA PKCS#1 v1.5, in hex, base64 or base64url",
    {
      minLength: 1
    }
  ),
  algorithm: Described.optional("what the signature is made with", { ...algorithm, default: "sha512" }),
  "public-key": Described.optional(
    "the source's key: base64 of its PKCS#1 DER, in one line; may be absent where the relay has the source's certificate"
  ),
  hash: Described.optional("the content's hash, in hex, by the same algorithm", Described.hash),
  ttl,
  date: Described.optional(
    "when the source signed the request; together with request-signature",
    Described.date
  ),
  "request-signature": Described.optional(
    "the same kind of signature over the lines rudder-relay-2, target, source, file id, ttl, date, and `<algorithm>:<hash>`, " +
      "each ended by a newline; together with date"
  )
})

const PutParameters = Schema.Struct({ ttl })

/** The names of all that an upload can say in its query, by its endpoint. */
export const uploadParameters = {
  share: Object.keys(ShareParameters.fields),
  put: Object.keys(PutParameters.fields)
} as const

const CheckParameters = Schema.Struct({
  "source-uuid": source,
  hash: Described.required("the content's hash, in hex: 64 digits are sha256, 128 sha512", Described.hash),
  algorithm: Described.optional("follows from the hash's length", algorithm)
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

const example = {
  hash: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
  algorithm: "sha256",
  size: 5,
  expires: 1_767_603_600
} as const

/** The file is on the disk, here or with the policy server. */
export const Stored = Schema.Struct({ result: Schema.Literal("stored"), ...described }).annotations({
  identifier: "Stored",
  examples: [{ result: "stored", ...example }]
})
/** The answer to an upload that its target has. */
export type Stored = typeof Stored.Type

/** The file is on the disk here, on its way to the policy server. */
export const Queued = Schema.Struct({ result: Schema.Literal("queued"), ...described }).annotations({
  ...HttpApiSchema.annotations({ status: 202 }),
  identifier: "Queued",
  examples: [{ result: "queued", ...example, expires: null }]
})
/** The answer to an upload that waits here. */
export type Queued = typeof Queued.Type

/** What an upload may fail by. In one piece, since each of its routes has to be told. */
const UploadFailed = Schema.Union(
  InvalidRequest,
  BadSignature,
  UnknownTarget,
  Refusal.ofUpload,
  PayloadTooLarge,
  RequestTimeout,
  TooBusy,
  StorageError,
  StorageFull
)

const stores = <const Name extends string>(name: Name, method: "POST" | "PUT", path: `/${string}`) =>
  HttpApiEndpoint.make(method)(name, path)
    .setPayload(HttpApiSchema.Uint8Array())
    .addSuccess(Stored)
    .addSuccess(Queued)
    .addError(UploadFailed)
    .annotate(HasEffect, true)

const storing = (body: string) =>
  Operation.describedBy(
    Operation.takes(body, Operation.bytes),
    Operation.answers(200, "The file is on the disk, here or with the policy server."),
    Operation.answers(202, "The file is on the disk here, on its way to the policy server."),
    Refusal.inShort(400, 403, 404, 405, 408, 413)
  )

/** An answer to HEAD is its status alone. */
const Here = Refusal.bodiless(Schema.Literal("here"), 200, "here")
const Absent = Refusal.bodiless(Schema.Literal("absent"), 404, "absent")

const CheckFailed = Schema.Union(UnknownTarget, TooBusy, StorageError, Refusal.ofCheck)

const checks = <const Name extends string>(name: Name, path: `/${string}`) =>
  HttpApiEndpoint.make("HEAD")(name, path)
    .addSuccess(Here)
    .addSuccess(Absent)
    .addError(CheckFailed)
    .annotate(HasEffect, false)
    .annotate(
      OpenApi.Transform,
      Operation.describedBy(
        Operation.answers(200, "The file is here with that hash, or waits for the policy server."),
        Operation.answers(404, "It is not: send it."),
        Operation.sends(
          "Relay-Upstream",
          "`unreachable`: whether the policy server has the file is not known; sent to this relay, it is kept for it.",
          { type: "string", enum: ["unreachable"] },
          404
        ),
        Operation.answers(400, "A part of the path or a parameter is not what was expected."),
        Operation.answers(403, "The caller may not use this route, or the policy server refuses."),
        Operation.answers(500, "The relay's disk failed, or what should not happen; its log has it."),
        Operation.answers(503, "The relay does not know its nodes yet."),
        Refusal.inShort(400, 403, 404, 405)
      )
    )

/** The routes of shared files, in this form and in the older one. */
export class SharedFilesApi extends HttpApiGroup.make("sharedFiles")
  .add(
    stores("share", "POST", "/shared-files/node/:target_uuid/:file_id")
      .setPath(NodePath)
      .setUrlParams(ShareParameters)
      .annotate(OpenApi.Summary, "Share a file with a node")
      .annotate(OpenApi.Transform, storing("The content, any bytes."))
  )
  .add(
    checks("check", "/shared-files/node/:target_uuid/:file_id")
      .setPath(NodePath)
      .setUrlParams(CheckParameters)
      .annotate(OpenApi.Summary, "Whether that file is here with that hash")
  )
  .add(
    stores("put", "PUT", "/shared-files/:target/:source/:file_id")
      .setPath(OlderPath)
      .setUrlParams(PutParameters)
      .annotate(OpenApi.Summary, "Share a file with a node, as existing agents do")
      .annotate(
        OpenApi.Transform,
        storing(
          "A header block, an empty line, and the content. The block is `key=value` lines, at most 64 KiB: " +
            "`header=rudder-signature-v1`, `algorithm` (`sha512` or `sha256`), `digest` (the signature over the content, " +
            "in hex), `hash_value`, `short_pubkey` (base64 of the PKCS#1 DER); then, as they are known, `hostname`, " +
            "`keydate`, `keyid`; and for a signed scope `date`, `ttl`, `request_signature`."
        )
      )
  )
  .add(
    checks("head", "/shared-files/:target/:source/:file_id")
      .setPath(OlderPath)
      .setUrlParams(
        Schema.Struct({
          hash: Described.optional("the content's hash, in hex; what is none is 404", Described.hash)
        })
      )
      .annotate(OpenApi.Summary, "Whether that file is here with that hash, as existing agents ask")
  )
  .annotate(AskedBy, "nodes")
  .annotate(OpenApi.Title, "Shared files")
  .annotate(OpenApi.Description, "Signed files that one node shares with another.") {}
