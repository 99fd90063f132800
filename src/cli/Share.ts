/** `rudder-relay share`: a file, signed, asked for and sent when needed. */
import { basename } from "node:path"
import { FileSystem } from "@effect/platform"
import type { PlatformError } from "@effect/platform/Error"
import { Effect, Option, Redacted } from "effect"
import { RelayClient } from "../client/RelayClient.ts"
import type { Shared } from "../client/Sharing.ts"
import * as Amount from "./Amount.ts"
import { asking } from "./Asking.ts"
import type { ClientOptions } from "./ClientOptions.ts"
import * as Listing from "./Listing.ts"
import { exitCode, StartError } from "./StartError.ts"
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

const wrong = (what: string, message: string) =>
  new StartError({ code: exitCode.configuration, message: `rudder-relay: ${what}: ${message}` })

/** A file of the caller's that can't be read. */
const unreadable = (what: string) => (error: PlatformError) =>
  wrong(
    what,
    error._tag === "SystemError" && error.reason === "NotFound" ? "there is no such file" : error.message
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

/** Signs a file, asks for it, and sends it when needed. */
export const share = (given: ShareOptions) =>
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
          fileId: Option.getOrElse(given.fileId, () => basename(given.file)),
          ttl: Option.getOrElse(given.ttl, () => ""),
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
    })
  )
