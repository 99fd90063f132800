/** What can be asked about the relay itself. */
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "@effect/platform"
import { Schema } from "effect"
import { AskedBy, HasEffect } from "../access/RouteAccess.ts"
import * as Described from "../http/Described.ts"
import * as Operation from "../http/Operation.ts"
import { InvalidRequest, NotFound, StorageError, StorageFull } from "../RelayError.ts"
import * as FileId from "../shared-files/file/FileId.ts"
import * as EntryName from "../shared-files/outbox/EntryName.ts"
import { OutboxPage } from "../shared-files/outbox/OutboxEntry.ts"
import * as PrometheusText from "./PrometheusText.ts"

/** How every answer of this group is wrapped; its keys are in this order, since callers compare it as a string. */
const envelope = <A, I, Action extends string>(
  action: Action,
  data: Schema.Schema<A, I>,
  description: string
) =>
  Schema.Struct({ data, result: Schema.Literal("success"), action: Schema.Literal(action) }).annotations({
    description
  })

/** Whether a part of the relay is well; `details` says what is not, or what is worth knowing. */
export const Health = Schema.Struct({
  status: Schema.Literal("success", "error"),
  details: Schema.optional(Schema.String)
}).annotations({ identifier: "Health" })
export type Health = typeof Health.Type

/** What `system/info` answers: the version of the relay. */
export const Info = Schema.Struct({
  "major-version": Schema.String,
  "full-version": Schema.String
}).annotations({ examples: [{ "major-version": "0.1", "full-version": "0.1.0" }] })

const count = Schema.Int

/** The health of each part, with figures where they help. */
export const Status = Schema.Struct({
  configuration: Health,
  nodes: Schema.Struct({
    ...Health.fields,
    known: count,
    mine: count,
    /** When the list in force was loaded, and when its file was written: RFC 3339; null: that is not known. */
    loaded: Schema.NullOr(Schema.String),
    written: Schema.NullOr(Schema.String)
  }),
  /** Whether the policy server can be reached, as far as it was asked; `answered` is when it last answered. Always well on root. */
  upstream: Schema.Struct({ ...Health.fields, answered: Schema.NullOr(Schema.String) }),
  /** Entries, and the bytes of their content; `oldest` is since when the one waits that waits longest. */
  outbox: Schema.Struct({
    ...Health.fields,
    waiting: count,
    refused: count,
    bytes: count,
    oldest: Schema.NullOr(Schema.String)
  }),
  /** Runs, agents that run, nodes that wait for others to end, agents that do not end, processes that can't be ended. */
  runs: Schema.Struct({
    ...Health.fields,
    active: count,
    agents: count,
    waiting: count,
    overdue: count,
    unkillable: count
  }),
  /** The folders that the relay writes to, with the bytes that are free there. */
  storage: Schema.Struct({
    ...Health.fields,
    folders: Schema.Array(Schema.Struct({ folder: Schema.String, path: Schema.String, free: Schema.Number }))
  }),
  /** Which certificates end soon. */
  certificates: Health
}).annotations({ identifier: "Status" })
export type Status = typeof Status.Type

const entryId: Described.Form = {
  pattern: EntryName.idPattern.source,
  examples: ["019b8d1c26000000-2cf24dba5fb0a30e26e83b2ac5b9e29e"]
}

/** Characters of a pattern that nodes are looked for by. */
export const longestMatch = 300

/** What `next` of a page of files is: where the last one stands. */
export const storedPlace = /^[A-Za-z0-9._-]{1,200}(?:\/[A-Za-z0-9._-]{1,200}){1,100}$/

/** A node below this relay. */
export const KnownNode = Schema.Struct({
  node: Schema.String,
  hostname: Schema.String,
  /** The relays between this one and the node, the next hop first; none: its policy server is this relay. */
  via: Schema.Array(Schema.String),
  /** Whether the nodes list has a key hash for it that can be read. */
  key: Schema.Boolean
}).annotations({
  identifier: "KnownNode",
  examples: [
    {
      node: "72d6bd8b-b1d6-4b62-8e2e-bbc0b2d0b4f9",
      hostname: "db.example.com",
      via: ["b73ea451-c42a-420d-a540-47b445e58313"],
      key: true
    }
  ]
})
export type KnownNode = typeof KnownNode.Type

/** Nodes below this relay, by their ids. */
export const NodesPage = Schema.Struct({
  nodes: Schema.Array(KnownNode),
  /** For `after`; null: there are no more. */
  next: Schema.NullOr(Schema.String)
}).annotations({ identifier: "NodesPage" })
export type NodesPage = typeof NodesPage.Type

const named = { target: Schema.String, source: Schema.String, file_id: Schema.String }
const motd = {
  target: "72d6bd8b-b1d6-4b62-8e2e-bbc0b2d0b4f9",
  source: "b73ea451-c42a-420d-a540-47b445e58313",
  file_id: "motd"
}

/** A file that is stored here. */
export const StoredFile = Schema.Struct({
  ...named,
  /** Bytes. */
  size: Schema.Number,
  /** RFC 3339: what the source signed, else when it was accepted; null where an older relay stored it. */
  date: Schema.NullOr(Schema.String),
  /** Unix time; null: never. */
  expires: Schema.NullOr(Schema.Number)
}).annotations({
  identifier: "StoredFile",
  examples: [{ ...motd, size: 5, date: "2026-01-05T09:00:00.000Z", expires: 1_767_603_600 }]
})
export type StoredFile = typeof StoredFile.Type

/** Files that are stored here, in the order of their folders. */
export const FilesPage = Schema.Struct({
  files: Schema.Array(StoredFile),
  /** For `after`; null: there are no more. */
  next: Schema.NullOr(Schema.String)
}).annotations({ identifier: "FilesPage" })
export type FilesPage = typeof FilesPage.Type

/** The file that was removed. */
export const RemovedFile = Schema.Struct(named).annotations({ identifier: "RemovedFile", examples: [motd] })

const ListParameters = Schema.Struct({
  limit: Described.optional("how many entries a page has", Described.limit),
  before: Described.optional("the `next` of the page before", entryId)
})

const NodesParameters = Schema.Struct({
  limit: Described.optional("how many nodes a page has", Described.limit),
  after: Described.optional(
    "the `next` of the page before: nodes whose ids come behind it",
    Described.nodeId
  ),
  match: Described.optional(
    "a pattern of the id or of the host name: `*` is any text, `?` any character; letters' case does not count",
    { minLength: 1, maxLength: longestMatch, examples: ["web*.example.com"] }
  )
})

const target = "the id of the node that the file is for"
const source = "the id of the node that sent it"
const fileId: Described.Form = { pattern: FileId.pattern.source, examples: ["motd"] }

const FilesParameters = Schema.Struct({
  target: Described.optional(target, Described.nodeId),
  source: Described.optional(source, Described.nodeId),
  limit: Described.optional("how many files a page has", Described.limit),
  after: Described.optional("the `next` of the page before", { pattern: storedPlace.source })
})

/** The names of the parameters that each list has. */
export const listParameters = {
  outbox: Object.keys(ListParameters.fields),
  nodes: Object.keys(NodesParameters.fields),
  files: Object.keys(FilesParameters.fields)
} as const

const FilePath = Schema.Struct({
  target: Described.segment(target, Described.nodeId),
  source: Described.segment(source, Described.nodeId),
  file_id: Described.segment("the file's name", fileId)
})

/** 500: something did not load; what was in force before stays so. */
export const ReloadFailed = Schema.Struct({
  result: Schema.Literal("error"),
  action: Schema.Literal("reloadConfiguration"),
  errorDetails: Schema.String
}).annotations({
  identifier: "ReloadFailed",
  ...HttpApiSchema.annotations({ status: 500 }),
  description: "something did not load; what was in force before stays so."
})

/** The routes about the relay itself. */
export class SystemApi extends HttpApiGroup.make("system")
  .add(
    HttpApiEndpoint.get("info", "/system/info")
      .addSuccess(envelope("getSystemInfo", Info, "The version."))
      .annotate(HasEffect, false)
      .annotate(OpenApi.Summary, "The version of this relay")
  )
  .add(
    HttpApiEndpoint.get("status", "/system/status")
      .addSuccess(envelope("getStatus", Status, "The health of each part."))
      .annotate(HasEffect, false)
      .annotate(OpenApi.Summary, "The health of this relay's parts")
  )
  .add(
    HttpApiEndpoint.post("reload", "/system/reload")
      .addSuccess(
        Schema.Struct({
          result: Schema.Literal("success"),
          action: Schema.Literal("reloadConfiguration")
        }).annotations({ description: "All of it was loaded." })
      )
      .addError(ReloadFailed)
      .annotate(HasEffect, true)
      .annotate(OpenApi.Summary, "Take the nodes list, certificates and log level from the disk again")
  )
  .add(
    HttpApiEndpoint.get("outbox", "/system/outbox")
      .setUrlParams(ListParameters)
      .addSuccess(envelope("getOutbox", OutboxPage, "A page of entries."))
      .addError(InvalidRequest)
      .addError(StorageError)
      .annotate(HasEffect, false)
      .annotate(OpenApi.Summary, "Files that wait for the policy server, or were refused by it; newest first")
  )
  .add(
    HttpApiEndpoint.post("retryOutbox", "/system/outbox/retry")
      .addSuccess(envelope("retryOutbox", Schema.Struct({ entries: count }), "How many are tried."))
      .addError(StorageError)
      .annotate(HasEffect, true)
      .annotate(OpenApi.Summary, "Try all of them now, what was refused too")
  )
  .add(
    HttpApiEndpoint.del("deleteOutboxEntry", "/system/outbox/:id")
      .setPath(Schema.Struct({ id: Described.segment("the entry's id", entryId) }))
      .addSuccess(envelope("deleteOutboxEntry", Schema.Struct({ id: Schema.String }), "It is given up."))
      .addError(NotFound)
      .addError(StorageError)
      .annotate(HasEffect, true)
      .annotate(OpenApi.Summary, "Give up one of them")
  )
  .add(
    HttpApiEndpoint.get("nodes", "/system/nodes")
      .setUrlParams(NodesParameters)
      .addSuccess(NodesPage)
      .addError(InvalidRequest)
      .annotate(HasEffect, false)
      .annotate(OpenApi.Summary, "The nodes below this relay, by their ids")
      .annotate(OpenApi.Transform, Operation.answers(200, "A page of nodes."))
  )
  .add(
    HttpApiEndpoint.get("files", "/system/files")
      .setUrlParams(FilesParameters)
      .addSuccess(FilesPage)
      .addError(InvalidRequest)
      .addError(StorageError)
      .annotate(HasEffect, false)
      .annotate(OpenApi.Summary, "The shared files that are stored here, in the order of their folders")
      .annotate(OpenApi.Transform, Operation.answers(200, "A page of files."))
  )
  .add(
    HttpApiEndpoint.del("deleteFile", "/system/files/:target/:source/:file_id")
      .setPath(FilePath)
      .addSuccess(RemovedFile)
      .addError(InvalidRequest)
      .addError(NotFound)
      .addError(StorageError)
      .addError(StorageFull)
      .annotate(HasEffect, true)
      .annotate(OpenApi.Summary, "Remove a shared file that is stored here, with its metadata")
      .annotate(OpenApi.Transform, Operation.answers(200, "It is gone from the disk."))
  )
  .add(
    HttpApiEndpoint.get("metrics", "/metrics")
      .addSuccess(
        HttpApiSchema.Text({ contentType: PrometheusText.contentType }).annotations({
          description: "The figures."
        })
      )
      .annotate(HasEffect, false)
      .annotate(OpenApi.Summary, "The figures of this relay, in Prometheus' text format")
      .annotate(OpenApi.Override, { servers: [{ url: "/", description: "The root of the server." }] })
  )
  .add(
    HttpApiEndpoint.get("openapi", "/openapi.json")
      .addSuccess(
        Schema.Record({ key: Schema.String, value: Schema.Unknown }).annotations({
          jsonSchema: { type: "object" }
        })
      )
      .annotate(HasEffect, false)
      .annotate(OpenApi.Summary, "This description of the API, in OpenAPI 3.1")
      .annotate(OpenApi.Transform, Operation.answers(200, "The description."))
  )
  .add(
    HttpApiEndpoint.get("docs", "/docs")
      .addSuccess(HttpApiSchema.Text({ contentType: "text/html" }))
      .annotate(HasEffect, false)
      .annotate(OpenApi.Summary, "This description of the API, as a page to read and try")
      .annotate(OpenApi.Transform, Operation.answers(200, "The page; it loads nothing from elsewhere."))
  )
  .annotate(AskedBy, "admin")
  .annotate(OpenApi.Title, "System")
  .annotate(
    OpenApi.Description,
    "The relay's own state: configuration, nodes, stored files, outbox and metrics."
  ) {}
