/**
 * The configuration's keys: each with its type, default, unit and meaning. The decoder, the look-out for unknown keys and
 * `docs/configuration.md` are made from them. Keys are the contract's, in camel case.
 */
import { Duration, Schema } from "effect"
import { keysOf, optional, setting } from "./Setting.ts"
import * as Values from "./Values.ts"

const KiB = 1024
const MiB = 1024 * KiB
const GiB = 1024 * MiB

/** Where shared files are without `shared_files.path`. */
export const defaultSharedFiles = "/var/rudder/shared-files-nodes"

const General = Schema.Struct({
  nodeId: optional(
    Values.NodeId,
    "this relay's id; `root` is the root server. Without it, what `node_id_file` has"
  ),
  nodeIdFile: setting(
    Values.FilePath,
    "/opt/rudder/etc/uuid.hive",
    "where this relay's id is, when `node_id` is not set"
  ),
  nodesListFile: setting(
    Values.FilePath,
    "/var/rudder/lib/relay/nodeslist.json",
    "the nodes below this relay; taken again by itself when it is replaced"
  ),
  nodesCertsFile: setting(
    Values.FilePath,
    "/var/rudder/lib/ssl/shared/allnodescerts.pem",
    "certificates of nodes, several for one allowed, with the node's id as UID of the subject; taken again likewise"
  ),
  listen: setting(Values.Listen, { host: "127.0.0.1", port: 3030 }, "the address and port that are served"),
  httpsPort: setting(Values.integer(1, 65_535), 443, "of the policy server and of sub-relays"),
  httpsIdleTimeout: setting(
    Values.Length,
    Duration.seconds(2),
    "how long an unused connection to one of them is kept"
  ),
  peerAuthentication: setting(
    Values.oneOf("cert_pinning", "cert_validation", "dangerous_none"),
    "cert_pinning",
    "how they are known: by the key of their certificate; or `cert_validation`, against `ca_path`; or `dangerous_none`, which warns at every start"
  ),
  caPath: optional(Values.FilePath, "the authorities for `cert_validation`; without it, the system's"),
  shutdownGrace: setting(
    Values.Length,
    Duration.seconds(30),
    "at a stop, what is under way may finish in this time"
  ),
  ignoreProcessing: setting(
    Values.Switch,
    false,
    "run beside Rudder's own relay where that processes reports or inventories"
  )
})

const outputOf = (what: string) =>
  Schema.Struct({
    output: setting(
      Values.Text,
      "disabled",
      `what Rudder's own relay does with ${what}: anything but \`disabled\` is refused, unless \`general.ignore_processing\` is set`
    )
  })

const Processing = Schema.Struct({ inventory: outputOf("inventories"), reporting: outputOf("reports") })

const Output = Schema.Struct({
  upstream: Schema.Struct({
    host: optional(
      Values.HostOrNothing,
      "the policy server, at `https://HOST:HTTPS_PORT`; required unless this is root"
    ),
    baseUrl: optional(
      Values.HttpUrl,
      "the policy server by its URL, with any scheme and port; counts before `host`"
    ),
    url: optional(
      Values.Text,
      "an older name of `base_url`, taken with a warning where there is neither `base_url` nor `host`"
    ),
    serverCertificateFile: setting(
      Values.FilePath,
      "/var/rudder/lib/ssl/policy_server.pem",
      "the policy server's certificate, the key of which is pinned"
    )
  })
})

const Tls = Schema.Struct({
  certificate: optional(
    Values.FilePath,
    "PEM file; with `key`: serve HTTPS instead of HTTP, and show it to other relays"
  ),
  key: optional(Values.FilePath, "PEM file"),
  clientCertificates: setting(
    Values.oneOf("none", "request", "require"),
    "request",
    "whether callers are asked for theirs: `none`, `request` or `require`"
  )
})

const RemoteRun = Schema.Struct({
  enabled: setting(Values.Switch, true, "false: every remote-run route answers 404"),
  command: setting(
    Values.CommandPath,
    "/opt/rudder/bin/rudder",
    "run as `[sudo -n] COMMAND remote run [-D classes] -- HOST`, never through a shell; a name without a slash is looked up in `PATH`"
  ),
  useSudo: setting(Values.Switch, true, "run it with `sudo -n`"),
  maxConcurrent: setting(
    Values.integer(1, 10_000),
    50,
    "agents at once, over all runs; runs that wait take turns"
  ),
  timeout: setting(Values.Period, Duration.hours(1), "of one agent"),
  killGrace: setting(Values.Length, Duration.seconds(5), "from SIGTERM to SIGKILL"),
  /** Bytes. */
  outputLimit: setting(
    Values.Size,
    64 * MiB,
    "per node and run; what comes after is read and counted in `dropped`"
  ),
  reconnect: setting(
    Values.Length,
    Duration.seconds(60),
    "how long it is tried to take up a stream from a sub-relay that was cut; 0 is not at all"
  ),
  allowedClasses: optional(
    Values.listOf(Values.ClassPattern),
    "classes that a run may define: a list of names, in which `*` stands for any text; others are refused with 400",
    { shown: "all" }
  ),
  directory: setting(Values.FilePath, "/var/rudder/relay/runs", "the history of runs"),
  retention: setting(Values.Length, Duration.days(7), "how long a run is kept"),
  /** Bytes. */
  maxSize: setting(Values.Size, GiB, "of the history; oldest runs go first")
})

const SharedFiles = Schema.Struct({
  path: optional(Values.FilePath, "where files are stored", { shown: defaultSharedFiles }),
  layout: optional(
    Values.oneOf("tree", "rudder"),
    "`tree` is `TARGET/SOURCE/FILE`; `rudder` is `TARGET/files/SOURCE/FILE`, which deployed agents read",
    { shown: "tree; rudder when shared_files.path is set" }
  ),
  /** Bytes; 0 = no limit. */
  maxBodySize: setting(
    Values.Size,
    0,
    "of one upload, of which a PUT has its header block too; 0 is no limit",
    {
      shown: "0 (no limit)"
    }
  ),
  /** Bytes. */
  minFree: setting(Values.Size, 256 * MiB, "left on the file system, else 507"),
  maxUploads: setting(Values.integer(1, 100_000), 64, "at once, else 503"),
  maxUploadsPerAddress: setting(
    Values.integer(1, 100_000),
    16,
    "at once from one address (of IPv6, from one /64) and from one source, else 503"
  ),
  /** Bytes a second, averaged over `limits.body_idle_timeout`. */
  minRate: setting(
    Values.Size,
    4 * KiB,
    "bytes a second, averaged over `limits.body_idle_timeout`: an upload that is slower gives its place back (408)"
  ),
  cleanupFrequency: setting(Values.Period, Duration.minutes(10), "how often expired files are removed", {
    name: "cleanup.frequency"
  }),
  outbox: setting(Values.FilePath, "/var/rudder/relay/outbox", "files on their way to the policy server"),
  /** Bytes. */
  outboxMaxSize: setting(Values.Size, 10 * GiB, "of those, else 507"),
  forwardWait: setting(
    Values.Length,
    Duration.seconds(5),
    "how long a sender waits for the policy server's word"
  ),
  forwardTimeout: setting(
    Values.Period,
    Duration.seconds(60),
    "how long the policy server may be silent while it takes a file"
  ),
  retry: Schema.Struct({
    initial: setting(
      Values.Period,
      Duration.seconds(1),
      "delay before the second attempt; doubled each time, jittered"
    ),
    max: setting(
      Values.Period,
      Duration.minutes(5),
      "the longest delay between attempts, which are without end"
    )
  })
})

/** Lists of CIDRs, addresses or host names. None: the contract's default for that key. */
const Access = Schema.Struct({
  policyServer: optional(
    Values.AccessRule,
    "who may start runs: addresses, CIDRs or names. A key of this section that is set replaces its default",
    { shown: "loopback addresses, and those of output.upstream.host" }
  ),
  nodes: optional(Values.AccessRule, "who may share files; the signature decides whether one is taken", {
    shown: "any address"
  }),
  admin: optional(Values.AccessRule, "who may use every other route", { shown: "loopback addresses" }),
  trustedProxies: optional(Values.AccessRule, "whose `X-Forwarded-For` counts", {
    shown: "loopback addresses"
  }),
  /** Without port. */
  hosts: setting(
    Values.listOf(Values.Host),
    [],
    "names by which a browser may call a plain-HTTP loopback listener"
  ),
  policyServerKeyHash: setting(
    Values.listOf(Values.KeyHash),
    [],
    "`sha256//BASE64` of client certificates' keys that may call like the policy server"
  )
})

const Limits = Schema.Struct({
  headersTimeout: setting(
    Values.Period,
    Duration.seconds(10),
    "how long a request's head, or a TLS handshake, may take"
  ),
  bodyIdleTimeout: setting(Values.Period, Duration.seconds(60), "how long a body may stand still"),
  /** Bytes. */
  maxHeaderSize: setting(Values.HeaderSize, 16 * KiB, "of a request's head, at least 1KiB"),
  maxConnections: setting(Values.integer(1, 1_000_000), 4096, "at once")
})

/** Every key, in sections. What one key says of another, `settle` in Settings.ts decides. */
export const Keys = Schema.Struct({
  general: General,
  processing: Processing,
  output: Output,
  tls: Tls,
  remoteRun: RemoteRun,
  sharedFiles: SharedFiles,
  sharedFolder: Schema.Struct({
    path: setting(
      Values.FilePath,
      "/var/rudder/configuration-repository/shared-files",
      "what `shared-folder/…` serves"
    )
  }),
  access: Access,
  limits: Limits,
  log: Schema.Struct({
    level: optional(
      Values.LogLevel,
      "`off`, `error`, `warn`, `info`, `debug` or `trace`; counts before `general.level` of `logging.conf`",
      { shown: "info" }
    ),
    format: optional(Values.oneOf("pretty", "logfmt", "json"), "`pretty`, `logfmt` or `json`", {
      shown: "pretty on a terminal, else logfmt"
    })
  })
})
export type Keys = typeof Keys.Type

/** The table of all keys. */
export const table = keysOf(Keys)
