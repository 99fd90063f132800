/** What is asked of the system, and how it refuses. */
import * as fs from "node:fs/promises"
import { userInfo } from "node:os"
import { dirname } from "node:path"
import type { PlatformError } from "@effect/platform/Error"
import { Data, Effect } from "effect"

/** An operation of the system's that failed: its code, such as ENOENT. */
export class SystemFailure extends Data.TaggedError("SystemFailure")<{
  readonly code: string
  readonly message: string
}> {}

/** An operation of the system's. */
export const system = <A>(operation: () => Promise<A>): Effect.Effect<A, SystemFailure> =>
  Effect.tryPromise({
    try: operation,
    catch: (cause) =>
      new SystemFailure({
        code: cause instanceof Error && "code" in cause ? String(cause.code) : "",
        message: cause instanceof Error ? cause.message : String(cause)
      })
  })

/** Whether nothing is at a path. */
export const isAbsent = ({ code }: SystemFailure): boolean => code === "ENOENT" || code === "ENOTDIR"

/** Who this program is, as an administrator knows them. */
export const user: Effect.Effect<string> = Effect.try(() => userInfo().username).pipe(
  Effect.orElseSucceed(() => `uid ${process.geteuid?.() ?? "unknown"}`)
)

/** The nearest folder, or whatever stands in its place, that is there; fails where that can't be told. */
export const nearestThere = (path: string): Effect.Effect<string, SystemFailure> =>
  system(() => fs.stat(path)).pipe(
    Effect.as(path),
    Effect.catchIf(
      (error) => isAbsent(error) && path !== dirname(path),
      (error) =>
        Effect.matchEffect(
          system(() => fs.lstat(path)),
          {
            // A link that leads nowhere: no folder can be made in its place.
            onSuccess: () => Effect.fail(error),
            onFailure: () => nearestThere(dirname(path))
          }
        )
    )
  )

/** What the system says of a file, without the operation of the platform's that asked. */
export const reasonOf = (error: PlatformError): string =>
  error._tag === "SystemError" ? (error.description ?? error.message) : error.message
