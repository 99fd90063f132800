/** Shared files for tests: on a disk in memory, with nodes that have keys, below a policy server that is scripted. */
import type { X509Certificate } from "node:crypto"
import { Readable } from "node:stream"
import { Duration, Effect, Layer, Option } from "effect"
import { type GivenSettings, makeSettings } from "../../src/config/GivenSettings.ts"
import { RelayConfig } from "../../src/config/RelayConfig.ts"
import { Disk, type DiskService } from "../../src/disk/Disk.ts"
import * as WorkerHasher from "../../src/disk/WorkerHasher.ts"
import { cut } from "../../src/http/RequestBody.ts"
import * as StreamReader from "../../src/http/StreamReader.ts"
import { NodeId } from "../../src/NodeId.ts"
import { FileId, type SharedFileName } from "../../src/shared-files/file/FileId.ts"
import * as Scope from "../../src/shared-files/file/SignedScope.ts"
import { Outbox } from "../../src/shared-files/outbox/Outbox.ts"
import * as OutboxFolder from "../../src/shared-files/outbox/OutboxFolder.ts"
import * as SharedFileRequest from "../../src/shared-files/SharedFileRequest.ts"
import { SharedFiles, type Upload } from "../../src/shared-files/SharedFiles.ts"
import { SharedFileStore } from "../../src/shared-files/store/SharedFileStore.ts"
import { alone } from "../../src/testing/Leases.ts"
import { ScriptedUpstream } from "../../src/testing/ScriptedUpstream.ts"
import { nodesListOf, type Topology, type Tree } from "../../src/testing/Topology.ts"
import { Certificates } from "../../src/topology/Certificates.ts"
import { hashOf, type Key, keyNamed, signatureOf } from "./Keys.ts"
import { memory } from "./Outboxes.ts"

/** The source's key, and one that nobody here knows. */
export const key = keyNamed("source")
export const otherKey = keyNamed("other")

export const tree: Tree = {
  source: { hostname: "source.example.com", keyHash: key.keyHash },
  target: { hostname: "target.example.com" },
  behind: { hostname: "behind.example.com", relays: ["relay", "lower"] },
  keyless: { hostname: "keyless.example.com" }
}

export interface Parts {
  /** Default `root`. */
  readonly nodeId?: string
  readonly tree?: Tree
  readonly neverLoaded?: boolean
  /** In place of both, one that changes. */
  readonly topology?: Topology
  readonly disk?: DiskService
  readonly upstream?: ScriptedUpstream
  readonly certificates?: Record<string, ReadonlyArray<X509Certificate>>
  readonly sharedFiles?: GivenSettings["sharedFiles"]
}

export const sharingLayer = (parts: Parts = {}) => {
  const settings = makeSettings({
    general: { nodeId: NodeId.make(parts.nodeId ?? "root") },
    sharedFiles: {
      path: "/store",
      outbox: "/outbox",
      minFree: 0,
      cleanupFrequency: Duration.days(1),
      ...parts.sharedFiles
    }
  })
  const topology = parts.topology ?? { tree: parts.tree ?? tree, neverLoaded: parts.neverLoaded ?? false }
  const certificates = Layer.succeed(Certificates, {
    forNode: (id) => Effect.succeed(parts.certificates?.[id] ?? []),
    reload: Effect.void
  })
  return SharedFiles.layer.pipe(
    Layer.provide([WorkerHasher.layer, certificates]),
    Layer.provideMerge(Outbox.layer),
    Layer.provide(OutboxFolder.layer),
    Layer.provideMerge(SharedFileStore.layer),
    Layer.provide([
      (parts.upstream ?? new ScriptedUpstream()).layer,
      Layer.succeed(Disk, parts.disk ?? memory()),
      alone()
    ]),
    Layer.provideMerge(nodesListOf(topology)),
    Layer.provideMerge(Layer.succeed(RelayConfig, settings))
  )
}

export const nameOf = (over: Partial<Record<keyof SharedFileName, string>> = {}): SharedFileName => ({
  target: NodeId.make(over.target ?? "target"),
  source: NodeId.make(over.source ?? "source"),
  fileId: FileId.make(over.fileId ?? "motd")
})

type Fields = Record<string, string | undefined>

/** What `POST` has in its query for this content, signed with the key; parameters in place of those; undefined: left out. */
export const queryOf = (content: Uint8Array | string, over: Fields = {}, by: Key = key): URLSearchParams => {
  const parameters: Fields = {
    signature: signatureOf(by, content).toString("base64"),
    "public-key": by.text,
    ...over
  }
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(parameters)) if (value !== undefined) search.set(name, value)
  return search
}

/** `date` and `request-signature` for this file; some of what is signed may be another than what is sent. */
export const scopeOf = (
  content: string,
  date: string,
  signed: { readonly name?: SharedFileName; readonly ttl?: string; readonly date?: string } = {}
): Fields => ({
  date,
  "request-signature": signatureOf(
    key,
    Scope.signedText(
      signed.name ?? nameOf(),
      { ttl: signed.ttl ?? "", date: signed.date ?? date },
      { algorithm: "sha512", hex: hashOf(content) }
    )
  ).toString("base64url")
})

/** What a request's body is made of this stream. */
export const bodyOf = (stream: () => Readable): Upload["body"] =>
  Effect.suspend(() => StreamReader.open(stream(), cut))

/** An upload whose body is there at once. */
export const uploadOf = (
  content: Uint8Array | string,
  query: URLSearchParams = queryOf(content),
  over: Partial<Upload> & { readonly size?: number } = {}
): Upload => ({
  name: nameOf(),
  announced: Option.some(over.size ?? Buffer.byteLength(content)),
  announcement: Effect.map(SharedFileRequest.decodePost(query), (claim) => ({ claim, length: 0 })),
  body: bodyOf(() => Readable.from([Buffer.from(content)], { objectMode: false })),
  address: "192.0.2.1",
  ...over
})

export const send = (...upload: Parameters<typeof uploadOf>) =>
  Effect.flatMap(SharedFiles, (sharedFiles) => sharedFiles.upload(uploadOf(...upload)))
