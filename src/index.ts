/** The public surface of the package. */

export { Access, type AccessService } from "./access/Access.ts"
export type { Caller, ClientCertificate } from "./access/Caller.ts"
export type { RouteKind } from "./access/RouteAccess.ts"
export * as ClientConnection from "./client/ClientConnection.ts"
export {
  type CallFailure,
  NothingLeft,
  type Refusal,
  RelayUnreachable,
  UnexpectedAnswer
} from "./client/ClientError.ts"
export { bytesOf } from "./client/EventLine.ts"
export type { NodeOutputRequest } from "./client/NodeOutput.ts"
export type { OutputSelection } from "./client/OutputRequest.ts"
export {
  make as makeRelayClient,
  RelayClient,
  type RelayClientOptions,
  type RelayClientService,
  type Routes
} from "./client/RelayClient.ts"
export type { NodeAmount, RestOf, RunRequest } from "./client/RunRequest.ts"
export type { EventOnLine } from "./client/RunStream.ts"
export { RunCutOff, resuming, type StreamFailure } from "./client/RunStream.ts"
export type { Present, Shared, ShareFailure, ShareRequest } from "./client/Sharing.ts"
export { type SigningKey, UnusableKey } from "./client/SignedContent.ts"
export { type Given, type GivenSettings, makeSettings } from "./config/GivenSettings.ts"
export type { Keys } from "./config/Keys.ts"
export { RelayConfig } from "./config/RelayConfig.ts"
export type { LogLevelName, Settings } from "./config/Settings.ts"
export type { ContentHash, HashAlgorithm } from "./disk/ContentHash.ts"
export {
  Disk,
  type DiskEntry,
  DiskError,
  type DiskFile,
  type DiskService,
  type DiskStatus,
  type DiskStep,
  type FileEnd
} from "./disk/Disk.ts"
export type { Turn } from "./disk/FileLocks.ts"
export * as FolderLease from "./disk/FolderLease.ts"
export { FolderUnusable } from "./disk/FolderUnusable.ts"
export { Hasher, type HasherService, type Hashing, HashLost } from "./disk/Hasher.ts"
export type { Incoming } from "./disk/Incoming.ts"
export { FolderTaken, Lease, type LeaseService } from "./disk/Lease.ts"
export * as NodeDisk from "./disk/NodeDisk.ts"
export type { Done, NodeFs } from "./disk/NodeFs.ts"
export type { Batch } from "./EventLoop.ts"
export { base, versionedBase } from "./http/BasePath.ts"
export type { RequestBody } from "./http/RequestBody.ts"
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
  AgentProcess,
  type AgentProcessService
} from "./remote-run/agents/AgentProcess.ts"
export { ClassName } from "./remote-run/ClassName.ts"
export type { EventMark, EventMarks } from "./remote-run/journal/EventMarks.ts"
export type { Kind as RecordKind } from "./remote-run/journal/JournalRecord.ts"
export type {
  Journal,
  JournalPart,
  JournalSource,
  OutputAccount,
  RecordFlags
} from "./remote-run/journal/JournalSource.ts"
export type { RunFormat } from "./remote-run/journal/RunFormat.ts"
export { RunHistory, type RunHistoryService } from "./remote-run/journal/RunHistory.ts"
export type { RunSearch } from "./remote-run/journal/RunIndex.ts"
export type { KnownKey, RunKeysService } from "./remote-run/journal/RunKeys.ts"
export type { ListedRun, RunSelection } from "./remote-run/journal/RunListing.ts"
export type { ReadOptions } from "./remote-run/journal/RunReader.ts"
export type { KeyedError } from "./remote-run/KeyedStart.ts"
export type { NodeChoice } from "./remote-run/OutputParameters.ts"
export {
  RemoteRun,
  type RemoteRunService,
  type Run,
  type RunOrder,
  type StartedRun
} from "./remote-run/RemoteRun.ts"
export { IdempotencyConflict, RunGoesOn, RunNotFound } from "./remote-run/RemoteRunError.ts"
export type { RunActivity } from "./remote-run/RunActivity.ts"
export type { RunControl, Share } from "./remote-run/RunControl.ts"
export {
  EndError,
  NodeEnded,
  type NodeEnding,
  NodeOutcome,
  NodeStarted,
  RunDone,
  RunEvent,
  RunStarted,
  type UnreadableEvent,
  type Verdict
} from "./remote-run/RunEvent.ts"
export { RunId } from "./remote-run/RunId.ts"
export { RunKey } from "./remote-run/RunKey.ts"
export type { RunTarget } from "./remote-run/RunPlan.ts"
export { PreviewedNode, RunPreview } from "./remote-run/RunPreview.ts"
export {
  NodeState,
  OutputChoice,
  type RunCaller,
  RunDetail,
  RunHead,
  RunPage,
  RunSummary
} from "./remote-run/RunRecord.ts"
export { RestReason, type RunRest } from "./remote-run/RunRest.ts"
export { OutputEvent, PingEvent, RunStreamEvent } from "./remote-run/RunStreamEvent.ts"
export type { ReadableRun, RunView } from "./remote-run/RunView.ts"
export {
  type SubRelayNode,
  type SubRelayOrder,
  type SubRelayOutput,
  SubRelays,
  type SubRelaysService
} from "./remote-run/sub-relays/SubRelays.ts"
export { FileId, type SharedFileName } from "./shared-files/file/FileId.ts"
export type { Location } from "./shared-files/file/Location.ts"
export type { Metadata } from "./shared-files/file/Metadata.ts"
export { BadSignature } from "./shared-files/file/SharedFileError.ts"
export type { ClaimedScope } from "./shared-files/file/SignedScope.ts"
export type { Ttl } from "./shared-files/file/Ttl.ts"
export * as EntryName from "./shared-files/outbox/EntryName.ts"
export type { Attempts, EntryRecord } from "./shared-files/outbox/EntryRecord.ts"
export {
  type Forwarded,
  Outbox,
  type OutboxService,
  type OutboxStatus
} from "./shared-files/outbox/Outbox.ts"
export { OutboxEntry, OutboxPage, OutboxState } from "./shared-files/outbox/OutboxEntry.ts"
export * as OutboxFolder from "./shared-files/outbox/OutboxFolder.ts"
export {
  type MakeRoom,
  OutboxStorage,
  type OutboxStorageService
} from "./shared-files/outbox/OutboxStorage.ts"
export type { Amount, Amounts, LoadedEntry, Spool } from "./shared-files/outbox/Spool.ts"
export {
  type SentFile,
  Upstream,
  type UpstreamService,
  UpstreamUnreachable
} from "./shared-files/outbox/Upstream.ts"
export type { Claim } from "./shared-files/SharedFileRequest.ts"
export {
  type Accepted,
  type Announcement,
  SharedFiles,
  type SharedFilesService,
  type Upload,
  type UploadError
} from "./shared-files/SharedFiles.ts"
export { Queued, Stored } from "./shared-files/SharedFilesApi.ts"
export { SharedFileStore, type SharedFileStoreService } from "./shared-files/store/SharedFileStore.ts"
export type { StoredFile, StoredPage, StoredSelection } from "./shared-files/store/StoredList.ts"
export type { ByteRange } from "./shared-folder/Conditions.ts"
export type { FileHash } from "./shared-folder/FileHashes.ts"
export type { FolderPath } from "./shared-folder/FolderPath.ts"
export { type FolderFile, SharedFolder, type SharedFolderService } from "./shared-folder/SharedFolder.ts"
export { Reload, type Reloadable, type ReloadProblem, type ReloadService } from "./system/Reload.ts"
export { FilesPage, Health, Info, KnownNode, NodesPage, RemovedFile, Status } from "./system/SystemApi.ts"
export { Certificates, type CertificatesService, CertificatesUnreadable } from "./topology/Certificates.ts"
export type { Node } from "./topology/Node.ts"
export {
  type Nodes,
  NodesList,
  type NodesListFreshness,
  type NodesListService,
  type NodesListStatus
} from "./topology/NodesList.ts"
export type { Route } from "./topology/Route.ts"
