/** Files that nodes share: who may send what to whom, and that it is what its source signed. */
import { Context, Effect, Either, Layer, Option, type Scope } from "effect"
import { RelayConfig } from "../config/RelayConfig.ts"
import type { Settings } from "../config/Settings.ts"
import * as ContentHash from "../disk/ContentHash.ts"
import { Hasher, type HasherService } from "../disk/Hasher.ts"
import * as Incoming from "../disk/Incoming.ts"
import * as BodyPace from "../http/BodyPace.ts"
import type { RequestBody } from "../http/RequestBody.ts"
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
import * as RequestReport from "../RequestReport.ts"
import * as Span from "../Span.ts"
import { Certificates } from "../topology/Certificates.ts"
import type { Node } from "../topology/Node.ts"
import { type Nodes, NodesList } from "../topology/NodesList.ts"
import { fieldsOf, type SharedFileName } from "./file/FileId.ts"
import type * as Location from "./file/Location.ts"
import * as Metadata from "./file/Metadata.ts"
import { BadSignature } from "./file/SharedFileError.ts"
import { type Forwarded, Outbox, type OutboxService } from "./outbox/Outbox.ts"
import type { Claim } from "./SharedFileRequest.ts"
import * as StoredLook from "./StoredLook.ts"
import { SharedFileStore, type SharedFileStoreService } from "./store/SharedFileStore.ts"
import * as Destination from "./upload/Destination.ts"
import * as SourceKey from "./upload/SourceKey.ts"
import * as UploadMetrics from "./upload/UploadMetrics.ts"
import * as UploadSlots from "./upload/UploadSlots.ts"
import * as Verification from "./upload/Verification.ts"

/** What a source says of a file, and how many bytes of the body that took, which come before the content. */
export interface Announcement {
  readonly claim: Claim
  readonly length: number
}

/** A file that a source sends. */
export interface Upload {
  readonly name: SharedFileName
  /** How long the whole body is. Bytes; none where the sender did not say. */
  readonly announced: Option.Option<number>
  /** Run once, after target, size and source were looked at: it may be the beginning of the body. */
  readonly announcement: Effect.Effect<Announcement, InvalidRequest | RequestTimeout, Scope.Scope>
  /**
   * The content; asks the sender for it, where that waits to be asked. Not to be read any more when the scope has
   * ended.
   */
  readonly body: Effect.Effect<RequestBody, never, Scope.Scope>
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

/** Why a file was not taken over. */
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

/** What can be asked about shared files. */
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
  /**
   * The same by plain calls of what this gives, each of which looks at the disk; undefined, or absent: it takes more than a
   * look, and `has` says it.
   */
  readonly lookAt?: (name: SharedFileName, hash: ContentHash.ContentHash) => () => boolean | undefined
}

/** Shared files; `layer` keeps them in the store and the outbox that are provided. */
export class SharedFiles extends Context.Tag("rudder-relay/SharedFiles")<SharedFiles, SharedFilesService>() {
  /** Of the store and the outbox that are provided, for the nodes of the list. */
  static readonly layer = Layer.effect(
    SharedFiles,
    Effect.suspend(() => make)
  )
}

/** What the service is made of. */
interface Parts {
  readonly settings: Settings
  readonly nodesList: NodesList["Type"]
  readonly certificates: Certificates["Type"]
  readonly store: SharedFileStoreService
  readonly outbox: OutboxService
  readonly hasher: HasherService
  readonly slots: UploadSlots.UploadSlots
  /** Bytes of a body. */
  readonly limit: number
}

const make = Effect.gen(function* () {
  const settings = yield* RelayConfig
  const { maxUploads, maxUploadsPerAddress, maxBodySize } = settings.sharedFiles
  const parts: Parts = {
    settings,
    nodesList: yield* NodesList,
    certificates: yield* Certificates,
    store: yield* SharedFileStore,
    outbox: yield* Outbox,
    hasher: yield* Hasher,
    slots: UploadSlots.make(maxUploads, maxUploadsPerAddress),
    limit: maxBodySize > 0 ? maxBodySize : Number.POSITIVE_INFINITY
  }
  return SharedFiles.of({
    upload: (given) => upload(parts, given),
    has: (name, hash) => has(parts, name, hash),
    lookAt: (name, hash) => StoredLook.make(parts, name, hash)
  })
})

const upload = (parts: Parts, given: Upload): Effect.Effect<Accepted, UploadError> =>
  Effect.gen(function* () {
    const { name, announced } = given
    const report = yield* RequestReport.CurrentReport
    report.add(fieldsOf(name))
    const nodes = yield* parts.nodesList.current
    const location = checkedLocation(parts, nodes, name)
    if (Either.isLeft(location)) return yield* location.left
    if (Option.isNone(location.right)) yield* checkTarget(parts, name.target)
    // The limit is that of whole bodies: what comes before the content counts too.
    if (Option.isSome(announced) && announced.value > parts.limit) return yield* tooLarge(parts.limit)
    if (sourceIn(nodes, name.source) === undefined) return yield* stranger(parts, name.source)
    const destination = Option.match(location.right, {
      onNone: () => Destination.inOutbox(parts.outbox, name),
      onSome: (found) => Destination.inStore(parts.store, name, found, locationNow(parts, name))
    })
    const { file, kept } = yield* verifyAndKeep(parts, given, destination)
    report.add({ size: file.size, hash: ContentHash.print(file.hash) })
    const result = yield* kept.forwarded
    UploadMetrics.accepted(result, file.size)
    report.add({ result }, "shared file accepted")
    return { result, hash: file.hash, size: file.size, expires: kept.metadata.expires }
  }).pipe(
    Effect.tapError(UploadMetrics.refused),
    Span.within("SharedFiles.upload", () => ({ ...given.name }))
  )

const has = (parts: Parts, name: SharedFileName, hash: ContentHash.ContentHash) =>
  Effect.flatMap(parts.nodesList.current, (nodes): ReturnType<SharedFilesService["has"]> => {
    const location = checkedLocation(parts, nodes, name)
    if (Either.isLeft(location)) return Effect.fail(location.left)
    return Option.isSome(location.right)
      ? parts.store.has(location.right.value, hash)
      : Effect.andThen(checkTarget(parts, name.target), parts.outbox.has(name, hash))
  }).pipe(Span.within("SharedFiles.has", () => ({ ...name })))

/** Where a file belongs by the list of now. */
const locationNow = (parts: Parts, name: SharedFileName) =>
  Effect.map(parts.nodesList.current, (nodes) => StoredLook.locationOf(parts, nodes, name))

/** Where a file belongs by this list. `InvalidRequest`: a file may not have its name. */
const checkedLocation = (
  parts: Parts,
  nodes: Nodes,
  name: SharedFileName
): Either.Either<Option.Option<Location.Location>, InvalidRequest> =>
  StoredLook.isNameOfNode(parts, nodes, name)
    ? Either.left(
        new InvalidRequest({
          parameter: "file_id",
          message: "file_id: expected anything but the id of a node"
        })
      )
    : Either.right(StoredLook.locationOf(parts, nodes, name))

/** Root has nobody to ask for a target that it does not know. */
const checkTarget = ({ settings, nodesList }: Parts, target: string) =>
  Effect.gen(function* () {
    if (settings.general.nodeId !== root) return
    if (yield* nodesList.neverLoaded) return yield* notLoaded
    return yield* new UnknownTarget({ message: `no node ${target} below this relay`, target })
  })

/** Who sends; undefined: nobody who is known here. */
const sourceIn = (nodes: Nodes, id: string): Node | undefined =>
  nodes.route(id)._tag === "Unknown" ? undefined : Option.getOrUndefined(nodes.get(id))

/** Without a list nobody can be told from a stranger, and a refusal would be for good. */
const stranger = ({ nodesList }: Parts, id: string): Effect.Effect<never, BadSignature | TooBusy> =>
  Effect.flatMap(
    nodesList.neverLoaded,
    (isUnknown): Effect.Effect<never, BadSignature | TooBusy> =>
      isUnknown
        ? notLoaded
        : new BadSignature({ reason: "unknown-source", message: `no node ${id} below this relay` })
  )

/** A content that came. */
interface Content {
  /** Bytes. */
  readonly size: number
  readonly digest: Buffer
  readonly hash: ContentHash.ContentHash
}

const contentOf = (algorithm: ContentHash.HashAlgorithm, size: number, digest: Buffer): Content => ({
  size,
  digest,
  hash: { algorithm, hex: digest.toString("hex") }
})

/** Takes the content to the disk, and gives what it is. */
const receive = (
  parts: Parts,
  body: RequestBody,
  { claim: { algorithm }, length }: Announcement,
  expected: Option.Option<number>,
  incoming: Incoming.Incoming
) =>
  Effect.gen(function* () {
    const { hasher, limit } = parts
    // Of a small body nothing is waited for, as a rule, and then there is no pace to watch.
    const whole =
      Option.isSome(expected) && expected.value <= ContentHash.small ? yield* body.whole : undefined
    if (whole !== undefined && whole.length <= Math.min(ContentHash.small, limit - length)) {
      yield* incoming.write(whole, true)
      return contentOf(algorithm, whole.length, ContentHash.digestOf(algorithm, whole))
    }
    if (whole !== undefined) body.putBack(whole)
    const hashing = yield* hasher.begin(algorithm)
    const taking = Incoming.take<InvalidRequest | PayloadTooLarge>(incoming, body, {
      expected,
      limit: limit - length,
      tooLong: () => tooLarge(limit),
      hashing
    })
    const { size, digest } = yield* BodyPace.within(paceOf(parts), body)(taking)
    return contentOf(algorithm, size, digest)
  })

const paceOf = ({ settings: { limits, sharedFiles } }: Parts): BodyPace.PaceLimits => ({
  idle: limits.bodyIdleTimeout,
  minRate: sharedFiles.minRate,
  minRateSetBy: "shared_files.min_rate"
})

/** Takes a file to the disk. */
const verifyAndKeep = (parts: Parts, given: Upload, destination: Destination.Destination) =>
  Effect.gen(function* () {
    const { name } = given
    const clock = yield* Effect.clock
    const turn = yield* destination.turn
    const announcement = yield* given.announcement
    const { claim, length } = announcement
    // By the list of now: what was announced may have taken its time.
    const source = sourceIn(yield* parts.nodesList.current, name.source)
    if (source === undefined) return yield* stranger(parts, name.source)
    const keys = yield* SourceKey.resolve(parts.certificates, source, claim.key)
    const { checkHash } = destination
    if (checkHash !== undefined && Option.isSome(claim.hash)) yield* checkHash(claim.hash.value)
    const expected = Option.map(given.announced, (whole) => whole - length)
    yield* destination.checkRoom(Option.getOrElse(expected, () => 0))
    const dated = Verification.checkDate(claim, clock.unsafeCurrentTimeMillis())
    if (Either.isLeft(dated)) return yield* dated.left
    const incoming = yield* destination.begin
    const body = yield* given.body
    const file = yield* receive(parts, body, announcement, expected, incoming)
    const now = clock.unsafeCurrentTimeMillis()
    const key = Verification.verify(name, claim, keys, file, now)
    if (Either.isLeft(key)) return yield* key.left
    if (checkHash !== undefined) yield* checkHash(file.hash)
    // What was free when the body began may have gone to others meanwhile.
    yield* destination.checkRoomFor(incoming)
    const verified = { ...claim, source, key: key.right, hash: file.hash }
    const metadata = Metadata.describe(verified, file.size, now)
    return { file, kept: yield* destination.commit(turn, incoming, metadata) }
  }).pipe(parts.slots.take({ address: given.address, source: given.name.source }))

const notLoaded = new TooBusy({ message: "the nodes list was not loaded yet", retryAfterSeconds: 10 })

const tooLarge = (limit: number) =>
  new PayloadTooLarge({ message: `a body is at most ${limit} bytes (shared_files.max_body_size)`, limit })
