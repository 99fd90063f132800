/** What can be asked about the shared folder. */
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "@effect/platform"
import { Schema } from "effect"
import { AskedBy, HasEffect } from "../access/RouteAccess.ts"
import * as Described from "../http/Described.ts"
import * as Operation from "../http/Operation.ts"
import { InvalidRequest, NotFound, StorageError } from "../RelayError.ts"

const FolderParameters = Schema.Struct({
  hash: Described.optional(
    "the hash, in hex, of the content that the caller has: 304 when it is the file's",
    Described.hash
  ),
  hash_type: Described.optional("what made that hash", { enum: ["sha256", "sha512"], default: "sha256" })
})

/** The rest of the path, as the router names it. */
const FolderPath = Schema.Struct({
  "*": Described.segment("the file's path in the folder; there may be slashes in it", {
    examples: ["config/motd"]
  })
})

const Content = HttpApiSchema.Uint8Array()

const route = "/shared-folder/*"

const httpDate: Described.Form = { type: "string", examples: ["Mon, 05 Jan 2026 09:00:00 GMT"] }

/** What stands for the version of the file, in the answers with these statuses. */
const validators = (...statuses: ReadonlyArray<number>) =>
  Operation.describedBy(
    Operation.sends("ETag", "Stands for this version of the file.", { type: "string" }, ...statuses),
    Operation.sends("Last-Modified", "When it was modified.", httpDate, ...statuses),
    Operation.sends("Accept-Ranges", "What ranges are counted in.", { enum: ["bytes"] }, ...statuses)
  )

const range = (description: string, example: string, status: number) =>
  Operation.sends("Content-Range", description, { type: "string", examples: [example] }, status)

/** The conditions that both methods look at. */
const conditional = Operation.describedBy(
  Operation.reads("If-None-Match", "ETags that the caller has: 304 when the file's is among them."),
  Operation.reads("If-Modified-Since", "304 when the file was not modified since.", httpDate),
  Operation.answers(200, "The file."),
  Operation.answers(304, "The caller has this content."),
  validators(200, 304)
)

const inRanges = Operation.describedBy(
  Operation.reads(
    "Range",
    "One range of bytes; several that don't make one are answered with the whole file.",
    {
      type: "string",
      examples: ["bytes=0-1023"]
    }
  ),
  Operation.reads(
    "If-Range",
    "The ETag or date of what the caller has: the range is of that version, or all is sent."
  ),
  Operation.answers(206, "The range that was asked for."),
  Operation.answers(416, "Nothing of the range is in the file."),
  validators(206, 416),
  range("Which part it is.", "bytes 0-1023/4096", 206),
  range("How long the file is.", "bytes */4096", 416)
)

/** The routes of the shared folder. */
export class SharedFolderApi extends HttpApiGroup.make("sharedFolder")
  .add(
    HttpApiEndpoint.get("getFile", route)
      .setPath(FolderPath)
      .setUrlParams(FolderParameters)
      .addSuccess(Content)
      .addSuccess(Content, { status: 206 })
      .addSuccess(HttpApiSchema.Empty(304))
      .addError(HttpApiSchema.Empty(416))
      .addError(InvalidRequest)
      .addError(NotFound)
      .addError(StorageError)
      .annotate(HasEffect, false)
      .annotate(OpenApi.Summary, "A file of the shared folder, or a range of it")
      .annotate(OpenApi.Transform, Operation.describedBy(conditional, inRanges))
  )
  .add(
    HttpApiEndpoint.make("HEAD")("headFile", route)
      .setPath(FolderPath)
      .setUrlParams(FolderParameters)
      .addSuccess(HttpApiSchema.Empty(200))
      .addSuccess(HttpApiSchema.Empty(304))
      .addError(InvalidRequest)
      .addError(NotFound)
      .addError(StorageError)
      .annotate(HasEffect, false)
      .annotate(OpenApi.Summary, "Whether a file of the shared folder is another than the caller has")
      .annotate(OpenApi.Transform, conditional)
  )
  .annotate(AskedBy, "sharedFolder")
  .annotate(OpenApi.Title, "Shared folder")
  .annotate(OpenApi.Description, "Files that the administrator shares with all nodes.") {}
