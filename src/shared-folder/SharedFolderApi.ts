/** What can be asked about the shared folder. */
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "@effect/platform"
import { Schema } from "effect"
import { AskedBy, HasEffect } from "../access/RouteAccess.ts"
import { StorageError } from "../RelayError.ts"

const description = (text: string) => ({ description: text })

/** Taken as it comes: the handlers decode it, so that every error names the parameter as the contract does. */
const parameter = (text: string) => Schema.optional(Schema.String.annotations(description(text)))

const FolderParameters = Schema.Struct({
  hash: parameter("the hash, in hex, of the content that the caller has: 304 when it is the file's"),
  hash_type: parameter("sha256 (default) or sha512")
})

/** The rest of the path, as the router names it. */
const FolderPath = Schema.Struct({
  "*": Schema.String.annotations(description("the file's path in the folder"))
})

const Content = HttpApiSchema.Uint8Array().annotations(
  description("the content, or the part that was asked for")
)

const route = "/shared-folder/*"

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
      .addError(StorageError)
      .annotate(HasEffect, false)
      .annotate(OpenApi.Summary, "A file of the shared folder, or a range of it")
  )
  .add(
    HttpApiEndpoint.make("HEAD")("headFile", route)
      .setPath(FolderPath)
      .setUrlParams(FolderParameters)
      .addSuccess(HttpApiSchema.Empty(200))
      .addSuccess(HttpApiSchema.Empty(304))
      .addError(StorageError)
      .annotate(HasEffect, false)
      .annotate(OpenApi.Summary, "Whether a file of the shared folder is another than the caller has")
  )
  .annotate(AskedBy, "sharedFolder")
  .annotate(OpenApi.Title, "Shared folder")
  .annotate(OpenApi.Description, "Files that the administrator shares with all nodes.") {}
