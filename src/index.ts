/** The public surface of the package. */
export { Access } from "./access/Access.ts"
export { type GivenSettings, makeSettings } from "./config/GivenSettings.ts"
export { RelayConfig } from "./config/RelayConfig.ts"
export type { Settings } from "./config/Settings.ts"
export type { ContentHash, HashAlgorithm } from "./disk/ContentHash.ts"
export { Disk, DiskError, type DiskFile, type DiskService } from "./disk/Disk.ts"
export * as FolderLease from "./disk/FolderLease.ts"
export { FolderUnusable } from "./disk/FolderUnusable.ts"
export type { Incoming } from "./disk/Incoming.ts"
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
export type { RunControl, Share } from "./remote-run/RunControl.ts"
export { RunEvent } from "./remote-run/RunEvent.ts"
export { RunId } from "./remote-run/RunId.ts"
export { RunKey } from "./remote-run/RunKey.ts"
export type { RunTarget } from "./remote-run/RunPlan.ts"
export type { RunCaller } from "./remote-run/RunRecord.ts"
export { SubRelays } from "./remote-run/sub-relays/SubRelays.ts"
export { FileId, type SharedFileName } from "./shared-files/file/FileId.ts"
export { BadSignature } from "./shared-files/file/SharedFileError.ts"
export * as EntryName from "./shared-files/outbox/EntryName.ts"
export type { Attempts, EntryRecord } from "./shared-files/outbox/EntryRecord.ts"
export { Outbox } from "./shared-files/outbox/Outbox.ts"
export * as OutboxFolder from "./shared-files/outbox/OutboxFolder.ts"
export {
  type MakeRoom,
  OutboxStorage,
  type OutboxStorageService
} from "./shared-files/outbox/OutboxStorage.ts"
export type { Amount, Amounts, Spool } from "./shared-files/outbox/Spool.ts"
export {
  type SentFile,
  Upstream,
  type UpstreamService,
  UpstreamUnreachable
} from "./shared-files/outbox/Upstream.ts"
export { type Accepted, SharedFiles, type Upload } from "./shared-files/SharedFiles.ts"
export { SharedFileStore } from "./shared-files/store/SharedFileStore.ts"
export { type FolderFile, SharedFolder, type SharedFolderService } from "./shared-folder/SharedFolder.ts"
export { Reload, type Reloadable, type ReloadProblem } from "./system/Reload.ts"
export { Certificates, CertificatesUnreadable } from "./topology/Certificates.ts"
export type { Node } from "./topology/Node.ts"
export { type Nodes, NodesList } from "./topology/NodesList.ts"
