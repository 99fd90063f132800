/** What a failure of the disk means for who asked. */
import { Effect } from "effect"
import { StorageError, StorageFull } from "../RelayError.ts"
import { CurrentReport, isInRequest } from "../RequestReport.ts"
import { type DiskError, isFull } from "./Disk.ts"

/** It is the disk's fault, not the sender's. What there is to know of it may be the disk's word, or the platform's. */
export const storageError = ({ message }: { readonly message: string }): StorageError =>
  new StorageError({ message })

/** The same, where something is written: the disk may only be full. */
export const writeError = (error: DiskError): StorageError | StorageFull =>
  isFull(error) ? new StorageFull({ message: "the disk is full" }) : storageError(error)

const logged = <E extends StorageError | StorageFull>(error: E): Effect.Effect<never, E> =>
  error instanceof StorageFull
    ? Effect.fail(error)
    : Effect.flatMap(CurrentReport, (report) =>
        // The line of a request says it.
        isInRequest(report)
          ? Effect.fail(error)
          : Effect.logError("the disk failed").pipe(
              Effect.annotateLogs({ error: error.message }),
              Effect.andThen(Effect.fail(error))
            )
      )

/** Fails with `storageError`, and says so in the log. */
export const failed = (error: { readonly message: string }): Effect.Effect<never, StorageError> =>
  logged(storageError(error))

/** Fails with `writeError`; what is more than a full disk is said in the log. */
export const failedToWrite = (error: DiskError): Effect.Effect<never, StorageError | StorageFull> =>
  logged(writeError(error))
