/** Files that nodes share: who may send what to whom, and that it is what its source signed. */
import type { KeyObject } from "node:crypto"
import type { Readable } from "node:stream"
import { Clock, Context, Effect, Layer, Option } from "effect"
import { RelayConfig } from "../RelayConfig.ts"
import {
  InvalidRequest,
  PayloadTooLarge,
  type StorageError,
  type StorageFull,
  TooBusy,
  UnknownTarget
} from "../RelayError.ts"
import { Certificates } from "../topology/Certificates.ts"
import { root } from "../topology/NodeId.ts"
import { type Nodes, NodesList } from "../topology/NodesList.ts"
import * as ContentHash from "./ContentHash.ts"
import { diskError } from "./Disk.ts"
import type { SharedFileName } from "./FileId.ts"
import { Hasher } from "./Hasher.ts"
import { type Location, locate } from "./Location.ts"
import * as Metadata from "./Metadata.ts"
import * as Scope from "./Scope.ts"
import { BadSignature } from "./SharedFileError.ts"
import type { Claim } from "./SharedFileRequest.ts"
import { type Incoming, SharedFileStore } from "./SharedFileStore.ts"
import * as Signature from "./Signature.ts"
import * as SourceKey from "./SourceKey.ts"
import * as UploadBody from "./UploadBody.ts"
import * as UploadSlots from "./UploadSlots.ts"

/** What a source says of a file, and how long its content is at most: bytes; none where that was not announced. */
export interface Announcement {
  readonly claim: Claim
  readonly size: Option.Option<number>
}

export interface Upload {
  readonly name: SharedFileName
  /** Run once, after the target was found: it may be the beginning of the body. */
  readonly announcement: Effect.Effect<Announcement, InvalidRequest>
  /** The content; asks the sender for it, where that waits to be asked. */
  readonly body: Effect.Effect<Readable>
  /** Whose upload it is, for the bound per address. */
  readonly address: string
}

export interface Stored {
  readonly hash: ContentHash.ContentHash
  /** Bytes. */
  readonly size: number
  /** Unix time. */
  readonly expires: Option.Option<number>
}

export type UploadError =
  | BadSignature
  | InvalidRequest
  | PayloadTooLarge
  | StorageError
  | StorageFull
  | TooBusy
  | UnknownTarget

export interface SharedFilesService {
  /** Stores a file for its target: on the disk when this returns. Interrupted before, it leaves nothing. */
  readonly upload: (upload: Upload) => Effect.Effect<Stored, UploadError>
  /** Whether the file is here with this content. */
  readonly has: (
    name: SharedFileName,
    hash: ContentHash.ContentHash
  ) => Effect.Effect<boolean, InvalidRequest | StorageError | TooBusy | UnknownTarget>
}

export class SharedFiles extends Context.Tag("rudder-relay/SharedFiles")<SharedFiles, SharedFilesService>() {
  static readonly layer = Layer.effect(
    SharedFiles,
    Effect.suspend(() => make)
  )
}

const make = Effect.gen(function* () {
  const { general, limits, sharedFiles } = yield* RelayConfig
  const nodesList = yield* NodesList
  const certificates = yield* Certificates
  const store = yield* SharedFileStore
  const hasher = yield* Hasher
  const slots = UploadSlots.make(sharedFiles.maxUploads, sharedFiles.maxUploadsPerAddress)
  const limit = sharedFiles.maxBodySize > 0 ? sharedFiles.maxBodySize : Number.POSITIVE_INFINITY

  /** Where a file for this target belongs; none where the target is not below this relay. */
  const locationOf = (nodes: Nodes, name: SharedFileName): Option.Option<Location> => {
    const route = nodes.route(name.target)
    if (route._tag === "Unknown") return Option.none()
    return Option.some(locate(sharedFiles.layout, route._tag === "Mine" ? [] : route.relays, name))
  }

  /** In the tree a relay's own folder stands beside those of nodes and sources. */
  const checkFileId = (nodes: Nodes, { fileId }: SharedFileName) =>
    sharedFiles.layout === "tree" && Option.isSome(nodes.get(fileId))
      ? new InvalidRequest({
          parameter: "file_id",
          message: "file_id: expected anything but the id of a node"
        })
      : Effect.void

  const refuseUnknown = (target: string) =>
    Effect.gen(function* () {
      if (general.nodeId !== root)
        return yield* new TooBusy({
          message: "the target is not below this relay, and forwarding is not there yet",
          retryAfterSeconds: 60
        })
      if (yield* nodesList.neverLoaded)
        return yield* new TooBusy({ message: "the nodes list was not loaded yet", retryAfterSeconds: 10 })
      return yield* new UnknownTarget({ message: `no node ${target} below this relay`, target })
    })

  const findSource = (nodes: Nodes, id: string) => {
    const known = nodes.route(id)._tag === "Unknown" ? Option.none() : nodes.get(id)
    return Effect.mapError(
      known,
      () => new BadSignature({ reason: "unknown-source", message: `no node ${id} below this relay` })
    )
  }

  const checkSize = (size: number) =>
    Effect.gen(function* () {
      yield* store.checkRoom(size)
      if (size > limit) return yield* tooLarge(limit)
    })

  /** Takes the content to the disk, and gives what it is. */
  const receive = (
    body: Readable,
    expected: Option.Option<number>,
    incoming: Incoming,
    algorithm: ContentHash.HashAlgorithm
  ) =>
    Effect.gen(function* () {
      const { size, digest } = yield* UploadBody.receive<PayloadTooLarge | StorageError | StorageFull>(body, {
        idle: limits.bodyIdleTimeout,
        expected,
        limit,
        tooLong: tooLarge(limit),
        hashing: yield* hasher.begin(algorithm),
        write: incoming.write,
        failed: (cause) => store.errorOf(diskError(cause))
      })
      return { size, digest, hash: { algorithm, hex: digest.toString("hex") } }
    })

  const verifyAndStore = (upload: Upload, nodes: Nodes, location: Location) =>
    Effect.gen(function* () {
      const turn = yield* store.turn(location)
      const { claim, size: announced } = yield* upload.announcement
      const source = yield* findSource(nodes, upload.name.source)
      const keys = yield* Effect.provideService(
        SourceKey.resolve(source, claim.key),
        Certificates,
        certificates
      )
      yield* checkSize(Option.getOrElse(announced, () => 0))
      const incoming = yield* store.begin
      const { size, digest, hash } = yield* receive(yield* upload.body, announced, incoming, claim.algorithm)
      const now = yield* Clock.currentTimeMillis
      const key = yield* verify(upload.name, claim, keys, { digest, hash }, now)
      // What was free when the body began may have gone to others meanwhile.
      yield* store.checkRoom(0)
      const { algorithm: _, ...said } = claim
      const metadata = Metadata.describe({ ...said, source, key, hash }, size, now)
      yield* store.commit(location, turn, incoming, metadata)
      yield* Effect.logInfo("shared file stored").pipe(Effect.annotateLogs({ ...upload.name, size }))
      return { hash, size, expires: metadata.expires }
    }).pipe(Effect.scoped, slots.take(upload.address))

  return SharedFiles.of({
    upload: (upload) =>
      Effect.gen(function* () {
        const nodes = yield* nodesList.current
        yield* checkFileId(nodes, upload.name)
        const location = locationOf(nodes, upload.name)
        if (Option.isNone(location)) return yield* refuseUnknown(upload.name.target)
        return yield* verifyAndStore(upload, nodes, location.value)
      }).pipe(Effect.withSpan("SharedFiles.upload", { attributes: { ...upload.name } })),
    has: (name, hash) =>
      Effect.gen(function* () {
        const nodes = yield* nodesList.current
        yield* checkFileId(nodes, name)
        const location = locationOf(nodes, name)
        if (Option.isNone(location)) return yield* refuseUnknown(name.target)
        return yield* store.has(location.value, hash)
      }).pipe(Effect.withSpan("SharedFiles.has", { attributes: { ...name } }))
  })
})

const tooLarge = (limit: number) =>
  new PayloadTooLarge({ message: `a file is at most ${limit} bytes (shared_files.max_body_size)`, limit })

/**
 * Checks what a source claims of a content. Fails with `BadSignature`; else gives the one of `keys` that signed it.
 *
 * @param now milliseconds since 1970
 */
export const verify = (
  name: SharedFileName,
  claim: Claim,
  keys: ReadonlyArray<KeyObject>,
  content: { readonly digest: Uint8Array; readonly hash: ContentHash.ContentHash },
  now: number
): Effect.Effect<KeyObject, BadSignature> =>
  Effect.gen(function* () {
    const { algorithm } = claim
    if (Option.exists(claim.hash, (announced) => !ContentHash.equals(announced, content.hash)))
      return yield* new BadSignature({
        reason: "hash-mismatch",
        message: "the content's hash is not the one that was announced"
      })
    const key = keys.find((one) => Signature.verifies(one, algorithm, content.digest, claim.signature))
    if (key === undefined)
      return yield* new BadSignature({
        reason: "signature-mismatch",
        message: "the signature is not of this content by the source's key"
      })
    if (Option.isNone(claim.scope)) return key
    const scope = claim.scope.value
    const text = Scope.signedText(name, scope, content.hash)
    if (!Signature.verifiesText(key, algorithm, text, scope.requestSignature))
      return yield* new BadSignature({
        reason: "signature-mismatch",
        message: "the request-signature is not of this file, name, target, ttl and date by the source's key"
      })
    if (Option.exists(Scope.parseDate(scope.date), (date) => date > now + Scope.maxAhead))
      return yield* new BadSignature({ reason: "stale", message: "the signed date is in the future" })
    return key
  })
