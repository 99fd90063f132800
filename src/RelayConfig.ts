/** `main.conf`, `logging.conf` and the environment as one typed service. Keys are the contract's, in camel case. */
import { Context, type Duration, type Option } from "effect"
import type { NodeId } from "./topology/NodeId.ts"

export type LogLevelName = "trace" | "debug" | "info" | "warn" | "error"

export interface Settings {
  readonly general: {
    readonly nodeId: NodeId
    readonly nodesListFile: string
    readonly nodesCertsFile: string
    /** Host and port, decoded from `host:port`, `[v6]:port`. */
    readonly listen: { readonly host: string; readonly port: number }
    readonly httpsPort: number
    readonly httpsIdleTimeout: Duration.Duration
    readonly peerAuthentication: "cert_pinning" | "cert_validation" | "dangerous_none"
    readonly caPath: Option.Option<string>
    readonly shutdownGrace: Duration.Duration
    readonly ignoreProcessing: boolean
  }
  readonly output: {
    readonly upstream: {
      /** My policy server's host name; none on root. */
      readonly host: Option.Option<string>
      /** `output.upstream.url`, or `https://host:https_port`. None on root without one. */
      readonly url: Option.Option<URL>
      readonly serverCertificateFile: string
    }
  }
  readonly tls: {
    /** Serve HTTPS with these PEM files; none: HTTP. */
    readonly identity: Option.Option<{ readonly certificate: string; readonly key: string }>
    readonly clientCertificates: "none" | "request" | "require"
  }
  readonly remoteRun: {
    readonly enabled: boolean
    readonly command: string
    readonly useSudo: boolean
    readonly maxConcurrent: number
    readonly timeout: Duration.Duration
    readonly killGrace: Duration.Duration
    /** Bytes per node and run. */
    readonly outputLimit: number
    readonly directory: string
    readonly retention: Duration.Duration
    /** Bytes. */
    readonly maxSize: number
  }
  readonly sharedFiles: {
    readonly path: string
    readonly layout: "tree" | "rudder"
    /** Bytes; 0 = no limit. */
    readonly maxBodySize: number
    /** Bytes. */
    readonly minFree: number
    readonly maxUploads: number
    readonly maxUploadsPerAddress: number
    readonly cleanupFrequency: Duration.Duration
    readonly outbox: string
    /** Bytes. */
    readonly outboxMaxSize: number
    readonly forwardWait: Duration.Duration
    readonly retry: { readonly initial: Duration.Duration; readonly max: Duration.Duration }
  }
  readonly sharedFolder: { readonly path: string }
  /** Lists of CIDRs, addresses or host names. None: the contract's default for that key. */
  readonly access: {
    readonly policyServer: Option.Option<ReadonlyArray<string>>
    readonly nodes: Option.Option<ReadonlyArray<string>>
    readonly admin: Option.Option<ReadonlyArray<string>>
    readonly trustedProxies: Option.Option<ReadonlyArray<string>>
    /** Host names (without port) that a browser may call this relay by on a plain-HTTP loopback listener. */
    readonly hosts: ReadonlyArray<string>
    /** `sha256//BASE64` each. */
    readonly policyServerKeyHash: ReadonlyArray<string>
  }
  readonly limits: {
    readonly headersTimeout: Duration.Duration
    readonly bodyIdleTimeout: Duration.Duration
    /** Bytes. */
    readonly maxHeaderSize: number
    readonly maxConnections: number
  }
  readonly log: {
    readonly level: LogLevelName
    /** None: `pretty` on a terminal, else `logfmt`. */
    readonly format: Option.Option<"pretty" | "logfmt" | "json">
  }
}

export class RelayConfig extends Context.Tag("rudder-relay/RelayConfig")<RelayConfig, Settings>() {}
