/** Files that nodes share: who may send what to whom, and that it is what its source signed. */
import type { Readable } from "node:stream"
import { Clock, Context, Effect, Layer, Option, type Scope } from "effect"
import { RelayConfig } from "../config/RelayConfig.ts"
import type * as ContentHash from "../disk/ContentHash.ts"
import type { Turn } from "../disk/FileLocks.ts"
import { Hasher } from "../disk/Hasher.ts"
import { root } from "../NodeId.ts"
import {
  InvalidRequest,
  PayloadTooLarge,
  type RequestTimeout,
  type StorageError,
  type StorageFull,
  TooBusy,
  UnknownTarget,
  type UpstreamFatal,
  type UpstreamRejected
} from "../RelayError.ts"
import { Certificates } from "../topology/Certificates.ts"
import { type Nodes, NodesList } from "../topology/NodesList.ts"
import type { SharedFileName } from "./file/FileId.ts"
import { keyOf, type Location, locate } from "./file/Location.ts"
import * as Metadata from "./file/Metadata.ts"
import { BadSignature } from "./file/SharedFileError.ts"
import { type Forwarded, Outbox } from "./outbox/Outbox.ts"
import type { Claim } from "./SharedFileRequest.ts"
import { type Incoming, SharedFileStore } from "./store/SharedFileStore.ts"
import * as SourceKey from "./upload/SourceKey.ts"
import * as UploadBody from "./upload/UploadBody.ts"
import * as UploadSlots from "./upload/UploadSlots.ts"
import * as Verification from "./upload/Verification.ts"

/** What a source says of a file, and how many bytes of the body that took, which come before the content. */
export interface Announcement {
  readonly claim: Claim
  readonly length: number
}

export interface Upload {
  readonly name: SharedFileName
  /** How long the whole body is. Bytes; none where the sender did not say. */
  readonly announced: Option.Option<number>
  /** Run once, after target, size and source were looked at: it may be the beginning of the body. */
  readonly announcement: Effect.Effect<Announcement, InvalidRequest | RequestTimeout>
  /** The content; asks the sender for it, where that waits to be asked. */
  readonly body: Effect.Effect<Readable>
  /** Whose upload it is, for the bound per address. */
  readonly address: string
}

/** `queued`: on the disk here, on its way to the policy server. */
export interface Accepted {
  readonly result: Forwarded
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
  | RequestTimeout
  | StorageError
  | StorageFull
  | TooBusy
  | UnknownTarget
  | UpstreamRejected

/** What a file was kept with, and what waits for what becomes of it. */
interface Kept {
  readonly metadata: Metadata.Metadata
  readonly outcome: Effect.Effect<Forwarded, UpstreamRejected>
}

/** Where a file goes: into the store, or into the outbox. */
interface Destination {
  readonly turn: Effect.Effect<Turn, never, Scope.Scope>
  /** Whether a content of this hash is wanted at all. */
  readonly checkHash: (hash: ContentHash.ContentHash) => Effect.Effect<void, UpstreamRejected | StorageError>
  readonly checkRoom: (size: number) => Effect.Effect<void, StorageFull | StorageError>
  readonly begin: Effect.Effect<Incoming, StorageFull | StorageError, Scope.Scope>
  /** On the disk when this returns. */
  readonly commit: (
    turn: Turn,
    incoming: Incoming,
    metadata: Metadata.Metadata
  ) => Effect.Effect<Kept, BadSignature | StorageFull | StorageError | TooBusy>
  /** What a failed write means for who sends. */
  readonly errorOf: (cause: unknown) => StorageFull | StorageError
}

export interface SharedFilesService {
  /**
   * Takes a file over for its target: on the disk when this returns. Interrupted before, it leaves nothing.
   * `UpstreamRejected`: the policy server, to whom it has to go, refuses it.
   */
  readonly upload: (upload: Upload) => Effect.Effect<Accepted, UploadError>
  /** Whether the file is here, or with the policy server where its target is unknown here, with this content. */
  readonly has: (
    name: SharedFileName,
    hash: ContentHash.ContentHash
  ) => Effect.Effect<
    boolean,
    InvalidRequest | StorageError | TooBusy | UnknownTarget | UpstreamFatal | UpstreamRejected
  >
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
  const outbox = yield* Outbox
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

  /**
   * Where a file belongs by now. Requests that begin there don't know of one that began elsewhere, so that it might take
   * the place of a later one's.
   */
  const checkLocation = (name: SharedFileName, location: Location) =>
    Effect.gen(function* () {
      const found = locationOf(yield* nodesList.current, name)
      if (!Option.exists(found, (now) => keyOf(now) === keyOf(location)))
        return yield* new TooBusy({
          message: `the way to ${name.target} changed while the file came`,
          retryAfterSeconds: 1
        })
    })

  const intoStore = (name: SharedFileName, location: Location): Destination => ({
    turn: store.turn(location),
    checkHash: () => Effect.void,
    checkRoom: store.checkRoom,
    begin: store.begin,
    commit: (turn, incoming, metadata) =>
      checkLocation(name, location).pipe(
        Effect.andThen(store.commit(location, turn, incoming, metadata)),
        Effect.map((kept) => ({ metadata: kept, outcome: Effect.succeed("stored") }))
      ),
    errorOf: store.errorOf
  })

  const intoOutbox = (name: SharedFileName): Destination => ({
    turn: outbox.turn(name),
    checkHash: (hash) => outbox.checkRefused(name, hash),
    checkRoom: outbox.checkRoom,
    begin: outbox.begin,
    commit: (turn, incoming, metadata) =>
      Effect.map(outbox.commit(name, turn, incoming, metadata), (outcome) => ({ metadata, outcome })),
    errorOf: outbox.errorOf
  })

  /** Root has nobody to ask for a target that it does not know. */
  const checkTarget = (target: string) =>
    Effect.gen(function* () {
      if (general.nodeId !== root) return
      if (yield* nodesList.neverLoaded) return yield* notLoaded
      return yield* new UnknownTarget({ message: `no node ${target} below this relay`, target })
    })

  /** Without a list nobody can be told from a stranger, and a refusal would be for good. */
  const findSource = (id: string) =>
    Effect.gen(function* () {
      if (yield* nodesList.neverLoaded) return yield* notLoaded
      const nodes = yield* nodesList.current
      const known = nodes.route(id)._tag === "Unknown" ? Option.none() : nodes.get(id)
      return yield* Effect.mapError(
        known,
        () => new BadSignature({ reason: "unknown-source", message: `no node ${id} below this relay` })
      )
    })

  /** The limit is one of whole bodies: what comes before the content counts too. */
  const checkSize = ({ announced }: Upload) =>
    Option.exists(announced, (size) => size > limit) ? tooLarge(limit) : Effect.void

  /** Takes the content to the disk, and gives what it is. */
  const receive = (
    body: Readable,
    { claim: { algorithm }, length }: Announcement,
    expected: Option.Option<number>,
    incoming: Incoming,
    errorOf: Destination["errorOf"]
  ) =>
    Effect.gen(function* () {
      const { size, digest } = yield* UploadBody.receive<PayloadTooLarge | StorageError | StorageFull>(body, {
        pace: { idle: limits.bodyIdleTimeout, minRate: sharedFiles.minRate },
        expected,
        limit: limit - length,
        tooLong: tooLarge(limit),
        hashing: yield* hasher.begin(algorithm),
        write: incoming.write,
        failed: errorOf
      })
      return { size, digest, hash: { algorithm, hex: digest.toString("hex") } }
    })

  /** Takes a file to the disk; what it gives tells what became of it. */
  const verifyAndKeep = (upload: Upload, destination: Destination) =>
    Effect.gen(function* () {
      const turn = yield* destination.turn
      const announcement = yield* upload.announcement
      const { claim, length } = announcement
      // By the list of now: what was announced may have taken its time.
      const source = yield* findSource(upload.name.source)
      const keys = yield* Effect.provideService(
        SourceKey.resolve(source, claim.key),
        Certificates,
        certificates
      )
      if (Option.isSome(claim.hash)) yield* destination.checkHash(claim.hash.value)
      const expected = Option.map(upload.announced, (whole) => whole - length)
      yield* destination.checkRoom(Option.getOrElse(expected, () => 0))
      yield* Verification.checkDate(claim, yield* Clock.currentTimeMillis)
      const incoming = yield* destination.begin
      const body = yield* upload.body
      const { size, digest, hash } = yield* receive(
        body,
        announcement,
        expected,
        incoming,
        destination.errorOf
      )
      const now = yield* Clock.currentTimeMillis
      const key = yield* Verification.verify(upload.name, claim, keys, { digest, hash }, now)
      yield* destination.checkHash(hash)
      // What was free when the body began may have gone to others meanwhile.
      yield* destination.checkRoom(0)
      const { algorithm: _, ...said } = claim
      const metadata = Metadata.describe({ ...said, source, key, hash }, size, now)
      const { outcome, metadata: kept } = yield* destination.commit(turn, incoming, metadata)
      yield* Effect.logInfo("shared file accepted").pipe(Effect.annotateLogs({ ...upload.name, size }))
      return Effect.map(outcome, (result) => ({ result, hash, size, expires: kept.expires }))
    }).pipe(Effect.scoped, slots.take({ address: upload.address, source: upload.name.source }))

  return SharedFiles.of({
    upload: (upload) =>
      Effect.gen(function* () {
        const nodes = yield* nodesList.current
        yield* checkFileId(nodes, upload.name)
        const location = locationOf(nodes, upload.name)
        if (Option.isNone(location)) yield* checkTarget(upload.name.target)
        yield* checkSize(upload)
        yield* findSource(upload.name.source)
        const destination = Option.match(location, {
          onNone: () => intoOutbox(upload.name),
          onSome: (found) => intoStore(upload.name, found)
        })
        return yield* Effect.flatten(verifyAndKeep(upload, destination))
      }).pipe(Effect.withSpan("SharedFiles.upload", { attributes: { ...upload.name } })),
    has: (name, hash) =>
      Effect.gen(function* () {
        const nodes = yield* nodesList.current
        yield* checkFileId(nodes, name)
        const location = locationOf(nodes, name)
        if (Option.isSome(location)) return yield* store.has(location.value, hash)
        yield* checkTarget(name.target)
        return yield* outbox.has(name, hash)
      }).pipe(Effect.withSpan("SharedFiles.has", { attributes: { ...name } }))
  })
})

const notLoaded = new TooBusy({ message: "the nodes list was not loaded yet", retryAfterSeconds: 10 })

const tooLarge = (limit: number) =>
  new PayloadTooLarge({ message: `a file is at most ${limit} bytes (shared_files.max_body_size)`, limit })
