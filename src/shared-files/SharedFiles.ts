/** Files that nodes share: who may send what to whom, and that it is what its source signed. */
import type { KeyObject } from "node:crypto"
import { Clock, Context, Effect, Either, Layer, Option, type Scope } from "effect"
import * as AtOnce from "../AtOnce.ts"
import { RelayConfig } from "../config/RelayConfig.ts"
import type { Settings } from "../config/Settings.ts"
import * as ContentHash from "../disk/ContentHash.ts"
import type { Turn } from "../disk/FileLocks.ts"
import { Hasher, type HasherService } from "../disk/Hasher.ts"
import type * as Incoming from "../disk/Incoming.ts"
import type { Batch } from "../EventLoop.ts"
import type { RequestBody } from "../http/RequestBody.ts"
import { root } from "../NodeId.ts"
import {
  InvalidRequest,
  type PayloadTooLarge,
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
import * as ReceivedContent from "./upload/ReceivedContent.ts"
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
  /** Which uploads are begun together with it; absent: none. */
  readonly batch?: Batch | undefined
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
   * The same by plain calls of what this gives, each of which looks at the disk, or those of a batch together; undefined, or
   * absent: it takes more than a look, and `has` says it.
   */
  readonly lookAt?: (
    name: SharedFileName,
    hash: ContentHash.ContentHash
  ) => (batch?: Batch) => boolean | undefined
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
  Span.begun(
    "SharedFiles.upload",
    ({ currentContext, currentDefaultServices }) => {
      const report = RequestReport.of(currentContext)
      report.add(fieldsOf(given.name))
      const clock = Context.get(currentDefaultServices, Clock.Clock)
      return UploadMetrics.counted(
        AtOnce.flatMap(destined(parts, given), (destination) =>
          Effect.flatMap(verifyAndKeep(parts, given, destination, clock), ({ file, kept }) => {
            report.add({ size: file.size, hash: ContentHash.print(file.hash) })
            return AtOnce.map(kept.forwarded, (result): Accepted => {
              UploadMetrics.accepted(result, file.size)
              report.add({ result }, "shared file accepted")
              return { result, hash: file.hash, size: file.size, expires: kept.metadata.expires }
            })
          })
        )
      )
    },
    () => ({ ...given.name })
  )

/** By the list of now, which most often is a value. */
const withNodes = <A, E>({ nodesList }: Parts, use: (nodes: Nodes) => Effect.Effect<A, E>) =>
  nodesList.now === undefined ? Effect.flatMap(nodesList.current, use) : use(nodesList.now())

/** Where an upload goes, if its target, its size and its source allow it. */
const destined = (parts: Parts, given: Upload) =>
  withNodes(parts, (nodes): Effect.Effect<Destination.Destination, UploadError> => {
    const { name, announced } = given
    const location = checkedLocation(parts, nodes, name)
    if (Either.isLeft(location)) return location.left
    const found = location.right
    const source = (): Effect.Effect<Destination.Destination, UploadError> => {
      // The limit is that of whole bodies: what comes before the content counts too.
      if (Option.isSome(announced) && announced.value > parts.limit)
        return ReceivedContent.tooLarge(parts.limit)
      if (sourceIn(nodes, name.source) === undefined) return stranger(parts, name.source)
      return Effect.succeed(
        Option.isNone(found)
          ? Destination.inOutbox(parts.outbox, name)
          : Destination.inStore(parts.store, given, found.value, () =>
              locationNow(parts, name, { nodes, found })
            )
      )
    }
    return Option.isNone(found) ? AtOnce.flatMap(checkTarget(parts, name.target), source) : source()
  })

const has = (parts: Parts, name: SharedFileName, hash: ContentHash.ContentHash) =>
  Effect.flatMap(parts.nodesList.current, (nodes): ReturnType<SharedFilesService["has"]> => {
    const location = checkedLocation(parts, nodes, name)
    if (Either.isLeft(location)) return Effect.fail(location.left)
    return Option.isSome(location.right)
      ? parts.store.has(location.right.value, hash)
      : Effect.andThen(checkTarget(parts, name.target), parts.outbox.has(name, hash))
  }).pipe(Span.within("SharedFiles.has", () => ({ ...name })))

/** Where a file belongs by the list of now. */
const locationNow = (parts: Parts, name: SharedFileName, before: StoredLook.Found) =>
  withNodes(parts, (nodes) => Effect.succeed(StoredLook.locationSince(parts, nodes, name, before)))

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
const checkTarget = (parts: Parts, target: string) =>
  parts.settings.general.nodeId === root
    ? refused(parts, new UnknownTarget({ message: `no node ${target} below this relay`, target }))
    : Effect.void

/** Who sends; undefined: nobody who is known here. */
const sourceIn = (nodes: Nodes, id: string): Node | undefined =>
  nodes.route(id)._tag === "Unknown" ? undefined : Option.getOrUndefined(nodes.get(id))

const stranger = (parts: Parts, id: string) =>
  refused(parts, new BadSignature({ reason: "unknown-source", message: `no node ${id} below this relay` }))

/** Without a list nobody can be told from a stranger, and a refusal would be for good. */
const refused = <E>({ nodesList }: Parts, refusal: Effect.Effect<never, E>) =>
  Effect.flatMap(
    nodesList.neverLoaded,
    (isUnknown): Effect.Effect<never, E | TooBusy> => (isUnknown ? notLoaded : refusal)
  )

/** Takes a file to the disk. */
const verifyAndKeep = (
  parts: Parts,
  given: Upload,
  destination: Destination.Destination,
  clock: Clock.Clock
) =>
  Effect.flatMap(destination.turn, (turn) =>
    Effect.flatMap(given.announcement, (announcement) => {
      const expected = Option.map(given.announced, (whole) => whole - announcement.length)
      return AtOnce.flatMap(signers(parts, given, destination, announcement.claim, expected), (signer) =>
        Effect.flatMap(destination.begin, (incoming) =>
          Effect.flatMap(given.body, (body) =>
            Effect.flatMap(ReceivedContent.receive(parts, body, announcement, expected, incoming), (file) =>
              keep({ given, destination, clock, turn, claim: announcement.claim, signer, incoming, file })
            )
          )
        )
      )
    })
  ).pipe(parts.slots.take({ address: given.address, source: given.name.source }))

/** Who has to have signed a file. */
interface Signer {
  readonly source: Node
  /** One of these. */
  readonly keys: ReadonlyArray<KeyObject>
}

/** Who has to have signed a file that may come, as far as that can be told before it comes. */
const signers = (
  parts: Parts,
  { name }: Upload,
  { checkHash, checkRoom }: Destination.Destination,
  claim: Claim,
  expected: Option.Option<number>
) =>
  withNodes(parts, (nodes): Effect.Effect<Signer, UploadError> => {
    // By the list of now: what was announced may have taken its time.
    const source = sourceIn(nodes, name.source)
    if (source === undefined) return stranger(parts, name.source)
    return AtOnce.flatMap(SourceKey.resolve(parts.certificates, source, claim.key), (keys) => {
      const signer = Effect.succeed({ source, keys })
      const dated = Effect.clockWith((clock) =>
        Effect.zipRight(Verification.checkDate(claim, clock.unsafeCurrentTimeMillis()), signer)
      )
      const room = () =>
        AtOnce.flatMap(checkRoom(Option.getOrElse(expected, () => 0)), () =>
          Option.isNone(claim.scope) ? signer : dated
        )
      return checkHash !== undefined && Option.isSome(claim.hash)
        ? AtOnce.flatMap(checkHash(claim.hash.value), room)
        : room()
    })
  })

/** A file that was kept. */
interface Taken {
  readonly file: ReceivedContent.ReceivedContent
  readonly kept: Destination.Kept
}

/** A file that has come. */
interface Arrived {
  readonly given: Upload
  readonly destination: Destination.Destination
  readonly clock: Clock.Clock
  readonly turn: Turn
  readonly claim: Claim
  readonly signer: Signer
  readonly incoming: Incoming.Incoming
  readonly file: ReceivedContent.ReceivedContent
}

/** Keeps a file, if it is what its source signed. */
const keep = (arrived: Arrived): Effect.Effect<Taken, UploadError> => {
  const { given, destination, clock, turn, claim, signer, incoming, file } = arrived
  const { checkHash } = destination
  const now = clock.unsafeCurrentTimeMillis()
  const key = Verification.verify(given.name, claim, signer.keys, file, now)
  if (Either.isLeft(key)) return key.left
  const { signature, keydate, ttl, scope } = claim
  const verified = { source: signer.source, key: key.right, hash: file.hash, signature, keydate, ttl, scope }
  const metadata = Metadata.describe(verified, file.size, now)
  // What was free when the body began may have gone to others meanwhile.
  const kept = () =>
    AtOnce.flatMap(destination.checkRoomFor(incoming), () =>
      AtOnce.map(destination.commit(turn, incoming, metadata), (kept): Taken => ({ file, kept }))
    )
  return checkHash === undefined ? kept() : AtOnce.flatMap(checkHash(file.hash), kept)
}

const notLoaded = new TooBusy({ message: "the nodes list was not loaded yet", retryAfterSeconds: 10 })
