/** `rudder-relay share`: a file, signed, asked for and sent when needed. */
import { basename } from "node:path"
import { FileSystem } from "@effect/platform"
import type { PlatformError } from "@effect/platform/Error"
import { Effect, Either, Option, Redacted } from "effect"
import { RelayClient } from "../client/RelayClient.ts"
import type { Shared } from "../client/Sharing.ts"
import * as NodeId from "../NodeId.ts"
import * as FileId from "../shared-files/file/FileId.ts"
import * as SharedFileRequest from "../shared-files/SharedFileRequest.ts"
import * as Amount from "./Amount.ts"
import { asking } from "./Asking.ts"
import type { ClientOptions } from "./ClientOptions.ts"
import * as Listing from "./Listing.ts"
import * as Refused from "./Refused.ts"
import * as Screen from "./Screen.ts"
import { type StartError, wrongCall } from "./StartError.ts"
import * as TransferLine from "./TransferLine.ts"

/** What it is told. */
export interface ShareOptions extends ClientOptions {
  readonly source: string
  readonly target: string
  readonly key: string
  readonly fileId: Option.Option<string>
  readonly ttl: Option.Option<string>
  readonly file: string
}

const wrong = (what: string, message: string) => wrongCall(`${what}: ${message}`)

/** A file of the caller's that can't be read. */
const unreadable = (what: string) => (error: PlatformError) =>
  wrong(
    what,
    error._tag === "SystemError" && error.reason === "NotFound"
      ? "there is no such file"
      : (error.description ?? error.message)
  )

const answer = (shared: Shared): string => {
  const { algorithm, hash, size } = shared
  const what = `${Amount.size(size)}, ${algorithm} ${hash}`
  switch (shared.result) {
    case "present":
      return `present: the relay had it already; ${what}`
    case "queued":
      return `queued: the relay keeps it until the policy server takes it; ${what}`
    case "stored":
      return `stored: ${what}${shared.expires === null ? "" : `, until ${Amount.date(shared.expires * 1000)}`}`
  }
}

/** The ttl as it was said. It is signed, and so the relay looks at it last. */
const ttlOf = ({ ttl }: ShareOptions): Effect.Effect<string, StartError> => {
  const text = Option.getOrElse(ttl, () => "")
  return SharedFileRequest.decodeTtl(text).pipe(
    Either.flatMap(() => SharedFileRequest.decodeSignedTtl(text)),
    Effect.mapError(Refused.option)
  )
}

/** A file that is there already is not sent, and its end stays what it was. */
const sameEnd = ({ source, target, ttl }: ShareOptions, fileId: string): string =>
  Option.isNone(ttl)
    ? ""
    : `rudder-relay: it is kept for as long as it was shared for before, whatever --ttl says; to change that, remove it first: rudder-relay files delete ${target}/${source}/${fileId}\n`

/** Its name there: as it was said, or the file's own, which need not be one that a shared file can have. */
const fileIdOf = ({ file, fileId }: ShareOptions): Effect.Effect<string, StartError> => {
  const name = Option.getOrElse(fileId, () => basename(file))
  if (FileId.pattern.test(name)) return Effect.succeed(name)
  const what = Option.isSome(fileId) ? "--file-id" : `the name of ${file}`
  const advice = Option.isSome(fileId) ? "" : "; --file-id gives it another name there"
  return Effect.fail(
    wrong(what, `expected ${FileId.form}, not ${JSON.stringify(name.slice(0, 100))}${advice}`)
  )
}

const checkNode = (name: "source" | "target", id: string): Effect.Effect<void, StartError> =>
  NodeId.pattern.test(id)
    ? Effect.void
    : Effect.fail(
        wrong(`--${name}`, `expected a node's id, ${NodeId.form}, not ${JSON.stringify(id.slice(0, 100))}`)
      )

/** Signs a file, asks for it, and sends it when needed. */
export const share = (given: ShareOptions) =>
  Effect.gen(function* () {
    yield* checkNode("source", given.source)
    yield* checkNode("target", given.target)
    yield* shareFor(given, yield* fileIdOf(given), yield* ttlOf(given))
  })

const shareFor = (given: ShareOptions, fileId: string, ttl: string) =>
  asking(
    given,
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const client = yield* RelayClient
      const key = yield* Effect.mapError(fs.readFileString(given.key), unreadable("--key"))
      const { size, type } = yield* Effect.mapError(fs.stat(given.file), unreadable(given.file))
      if (type === "Directory") return yield* wrong(given.file, "it is a folder")
      const line = TransferLine.make(Number(size))
      const content = line.track(fs.stream(given.file, { chunkSize: 1 << 18 }))
      const shared = yield* client
        .share({
          source: given.source,
          target: given.target,
          key: Redacted.make(key),
          fileId,
          ttl,
          content
        })
        .pipe(
          Effect.catchTags({
            UnusableKey: ({ message }) => wrong("--key", message),
            BadArgument: (error) => unreadable(given.file)(error),
            SystemError: (error) => unreadable(given.file)(error)
          }),
          Effect.ensuring(line.clear)
        )
      yield* Listing.printLines([answer(shared)])
      if (shared.result === "present") yield* Screen.write(sameEnd(given, fileId), process.stderr)
    })
  )
