/** The public surface of the package. */
export { Access } from "./access/Access.ts"
export { Outbox } from "./outbox/Outbox.ts"
export {
  type SentFile,
  Upstream,
  type UpstreamService,
  UpstreamUnreachable
} from "./outbox/Upstream.ts"
export * as Relay from "./Relay.ts"
export { RelayApi } from "./RelayApi.ts"
export { type GivenSettings, makeSettings, RelayConfig, type Settings } from "./RelayConfig.ts"
export * as RelayError from "./RelayError.ts"
export {
  type AgentCommand,
  AgentError,
  type AgentExit,
  type AgentOutput,
  AgentProcess
} from "./remote-run/AgentProcess.ts"
export { ClassName } from "./remote-run/ClassName.ts"
export {
  RemoteRun,
  type Run,
  type RunOrder,
  type RunTarget,
  type StartedRun
} from "./remote-run/RemoteRun.ts"
export { RunEvent } from "./remote-run/RunEvent.ts"
export { RunHistory } from "./remote-run/RunHistory.ts"
export { RunId } from "./remote-run/RunId.ts"
export { SubRelays } from "./remote-run/SubRelays.ts"
export type { ContentHash, HashAlgorithm } from "./shared-files/ContentHash.ts"
export { Disk, DiskError, type DiskService } from "./shared-files/Disk.ts"
export { FileId, type SharedFileName } from "./shared-files/FileId.ts"
export { BadSignature } from "./shared-files/SharedFileError.ts"
export { SharedFileStore } from "./shared-files/SharedFileStore.ts"
export { type Accepted, SharedFiles, type Upload } from "./shared-files/SharedFiles.ts"
export { type FolderFile, SharedFolder, type SharedFolderService } from "./shared-folder/SharedFolder.ts"
export { Reload } from "./system/Reload.ts"
export { Certificates } from "./topology/Certificates.ts"
export { NodeId } from "./topology/NodeId.ts"
export { type Node, type Nodes, NodesList } from "./topology/NodesList.ts"
