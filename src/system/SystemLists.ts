/** Lists of what the relay knows and keeps, page by page, and giving up a part of them: parameters decoded. */
import { Effect, Either, Option, Schema } from "effect"
import * as Query from "../http/Query.ts"
import { NodeId, form as nodeIdForm } from "../NodeId.ts"
import { type InvalidRequest, NotFound } from "../RelayError.ts"
import * as RequestReport from "../RequestReport.ts"
import * as FileId from "../shared-files/file/FileId.ts"
import * as EntryName from "../shared-files/outbox/EntryName.ts"
import { Outbox } from "../shared-files/outbox/Outbox.ts"
import * as StoredFiles from "../shared-files/StoredFiles.ts"
import * as NodePage from "../topology/NodePage.ts"
import { NodesList } from "../topology/NodesList.ts"
import { type FilesPage, longestMatch, type NodesPage, storedPlace } from "./SystemApi.ts"

type Decoded<A> = Either.Either<A, InvalidRequest>

/** A parameter that may be absent; empty is absent. */
const optional = <A>(
  name: string,
  text: string | undefined,
  expected: string,
  read: (text: string) => Option.Option<A>
): Decoded<Option.Option<A>> => Query.read(name, text === "" ? undefined : text, expected, read)

const limitOf = (text: string | undefined): Decoded<number> => Query.limit(text === "" ? undefined : text)

const nodeIdOf = (name: string, text: string | undefined) =>
  optional(name, text, nodeIdForm, Schema.decodeOption(NodeId))

/** A page of the outbox. */
export const outbox = (given: {
  readonly limit?: string | undefined
  readonly before?: string | undefined
}) =>
  Effect.gen(function* () {
    const outbox = yield* Outbox
    const limit = yield* limitOf(given.limit)
    const before = yield* optional("before", given.before, "an entry's id", (id) =>
      Option.as(EntryName.parseId(id), id)
    )
    return yield* outbox.list(limit, before)
  })

/** Gives up an entry of the outbox. */
export const deleteOutboxEntry = (id: string) =>
  Effect.gen(function* () {
    yield* RequestReport.add({ entry: id })
    const found = yield* (yield* Outbox).remove(id)
    if (!found) return yield* new NotFound({ message: `no entry ${id.slice(0, 100)} in the outbox` })
    return { id }
  })

/** A page of the nodes below this relay. */
export const nodes = (given: {
  readonly limit?: string | undefined
  readonly after?: string | undefined
  readonly match?: string | undefined
}): Effect.Effect<NodesPage, InvalidRequest, NodesList> =>
  Effect.gen(function* () {
    const limit = yield* limitOf(given.limit)
    const after = yield* nodeIdOf("after", given.after)
    const match = yield* optional(
      "match",
      given.match,
      `a pattern of at most ${longestMatch} characters`,
      Option.liftPredicate((text) => text.length <= longestMatch)
    )
    const current = yield* (yield* NodesList).current
    const page = yield* NodePage.make(current, { limit, after, match })
    return { nodes: page.nodes, next: Option.getOrNull(page.next) }
  })

/** A page of the files that are stored. */
export const files = (given: {
  readonly target?: string | undefined
  readonly source?: string | undefined
  readonly limit?: string | undefined
  readonly after?: string | undefined
}) =>
  Effect.gen(function* () {
    const page = yield* StoredFiles.list({
      limit: yield* limitOf(given.limit),
      target: yield* nodeIdOf("target", given.target),
      source: yield* nodeIdOf("source", given.source),
      after: yield* optional(
        "after",
        given.after,
        "the `next` of a page",
        Option.liftPredicate((text) => storedPlace.test(text))
      )
    })
    const shown: FilesPage = {
      files: page.files.map(({ target, source, fileId, size, date, expires }) => ({
        target,
        source,
        file_id: fileId,
        size,
        date: Option.getOrNull(date),
        expires: Option.getOrNull(expires)
      })),
      next: Option.getOrNull(page.next)
    }
    return shown
  })

const required = <A>(
  name: string,
  text: string,
  expected: string,
  read: (text: string) => Option.Option<A>
): Decoded<A> => Either.fromOption(read(text), () => Query.invalid(name, expected))

/** Removes a file that is stored. */
export const deleteFile = (path: {
  readonly target: string
  readonly source: string
  readonly file_id: string
}) =>
  Effect.gen(function* () {
    const name: FileId.SharedFileName = {
      target: yield* required("target", path.target, nodeIdForm, Schema.decodeOption(NodeId)),
      source: yield* required("source", path.source, nodeIdForm, Schema.decodeOption(NodeId)),
      fileId: yield* required("file_id", path.file_id, FileId.form, Schema.decodeOption(FileId.FileId))
    }
    yield* RequestReport.add(path)
    if (!(yield* StoredFiles.remove(name)))
      return yield* new NotFound({
        message: `no file ${name.fileId} of node ${name.source} for node ${name.target} is stored here`
      })
    return path
  })
