/** The public surface of the package. */
export { Access } from "./access/Access.ts"
export * as ClientConnection from "./client/ClientConnection.ts"
export { type CallFailure, RelayUnreachable, UnexpectedAnswer } from "./client/ClientError.ts"
export {
  make as makeRelayClient,
  RelayClient,
  type RelayClientOptions,
  type RelayClientService,
  type Routes
} from "./client/RelayClient.ts"
export type { Amount, RunRequest } from "./client/RunRequest.ts"
export { RunCutOff, resuming, type StreamFailure } from "./client/RunStream.ts"
export { bytesOf, OutputEvent, PingEvent, RunStreamEvent } from "./client/RunStreamEvent.ts"
export type { Present, Shared, ShareFailure, ShareRequest } from "./client/Sharing.ts"
export { type SigningKey, UnusableKey } from "./client/SignedContent.ts"
export { type GivenSettings, makeSettings, RelayConfig, type Settings } from "./config/RelayConfig.ts"
export type { ContentHash, HashAlgorithm } from "./disk/ContentHash.ts"
export { Disk, DiskError, type DiskFile, type DiskService } from "./disk/Disk.ts"
export * as FolderLease from "./disk/FolderLease.ts"
export { FolderUnusable } from "./disk/FolderUnusable.ts"
export { FolderTaken, Lease, type LeaseService } from "./disk/Lease.ts"
export * as NodeDisk from "./disk/NodeDisk.ts"
export * as StreamReader from "./http/StreamReader.ts"
export { NodeId } from "./NodeId.ts"
export {
  type Peer,
  PeerClient,
  type PeerClientService,
  type PeerPool,
  type PinnedKeys
} from "./peers/PeerClient.ts"
export { PeerUnreachable } from "./peers/PeerUnreachable.ts"
export * as Relay from "./Relay.ts"
export { RelayApi } from "./RelayApi.ts"
export * as RelayError from "./RelayError.ts"
export {
  type AgentCommand,
  AgentError,
  type AgentExit,
  type AgentOutput,
  AgentProcess
} from "./remote-run/agents/AgentProcess.ts"
export { ClassName } from "./remote-run/ClassName.ts"
export { RunHistory } from "./remote-run/journal/RunHistory.ts"
export {
  RemoteRun,
  type Run,
  type RunOrder,
  type StartedRun
} from "./remote-run/RemoteRun.ts"
export { RunEvent } from "./remote-run/RunEvent.ts"
export { RunId } from "./remote-run/RunId.ts"
export type { RunTarget } from "./remote-run/RunPlan.ts"
export { SubRelays } from "./remote-run/sub-relays/SubRelays.ts"
export { FileId, type SharedFileName } from "./shared-files/file/FileId.ts"
export { BadSignature } from "./shared-files/file/SharedFileError.ts"
export { Outbox } from "./shared-files/outbox/Outbox.ts"
export {
  type SentFile,
  Upstream,
  type UpstreamService,
  UpstreamUnreachable
} from "./shared-files/outbox/Upstream.ts"
export { type Accepted, SharedFiles, type Upload } from "./shared-files/SharedFiles.ts"
export { SharedFileStore } from "./shared-files/store/SharedFileStore.ts"
export { type FolderFile, SharedFolder, type SharedFolderService } from "./shared-folder/SharedFolder.ts"
export { Reload } from "./system/Reload.ts"
export { Certificates } from "./topology/Certificates.ts"
export type { Node } from "./topology/Node.ts"
export { type Nodes, NodesList } from "./topology/NodesList.ts"
