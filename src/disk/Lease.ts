/** One relay works on a folder: it holds a lease on it, from before it changes anything there until it ends, however it ends. */
import { Context, Data, Duration, Effect, Layer, Ref, Schedule, type Scope } from "effect"
import * as FolderUnusable from "./FolderUnusable.ts"

/** Another relay has the folder. */
export class FolderTaken extends Data.TaggedError("FolderTaken")<{
  /** Which one, for a person to find it. */
  readonly holder: string
}> {}

/** Gives folders to one relay at a time. */
export interface LeaseService {
  /** The folder, which is there, is this relay's until the scope ends. Does not wait. */
  readonly take: (
    folder: string
  ) => Effect.Effect<void, FolderTaken | FolderUnusable.FolderUnusable, Scope.Scope>
}

/** The leases on the folders that a relay works on; `FolderLease.layer` takes them by locks in the folders. */
export class Lease extends Context.Tag("rudder-relay/Lease")<Lease, LeaseService>() {
  /** For a program that knows that nobody else works on its folders, such as one whose disk is in memory. */
  static readonly none = Layer.succeed(Lease, { take: () => Effect.void })
}

/** What a lease is for. */
export interface LeasedFolder {
  /** Absolute. */
  readonly root: string
  /** Makes the folder where it is missing; fails where it can't be made, or written. */
  readonly prepare: Effect.Effect<unknown, { readonly message: string }>
}

/** How often it is looked whether the other relay has ended. */
const interval = Duration.millis(200)

/** Looks again, up to this long. */
export const looking = (grace: Duration.Duration) =>
  Schedule.spaced(interval).pipe(Schedule.upTo(Duration.toMillis(grace)))

/**
 * Makes the folders and takes them. Another relay that has them may be about to stop: it is waited for, as long as a
 * relay has for that.
 */
export const hold = (
  { root: folder, prepare }: LeasedFolder,
  grace: Duration.Duration
): Effect.Effect<void, FolderUnusable.FolderUnusable, Lease | Scope.Scope> =>
  Effect.gen(function* () {
    const { take } = yield* Lease
    const told = yield* Ref.make(false)
    yield* Effect.mapError(prepare, ({ message }) => FolderUnusable.because(folder, message))
    yield* take(folder).pipe(
      Effect.tapErrorTag("FolderTaken", ({ holder }) =>
        Effect.unlessEffect(
          Effect.logWarning("another relay works on a folder of this one's; it is waited for").pipe(
            Effect.annotateLogs({ folder, holder, at_most: Duration.format(grace) })
          ),
          Ref.getAndSet(told, true)
        )
      ),
      Effect.retry({ schedule: looking(grace), while: ({ _tag }) => _tag === "FolderTaken" }),
      Effect.catchTag("FolderTaken", ({ holder }) =>
        FolderUnusable.because(folder, `another relay works on it: ${holder}`)
      )
    )
  })
