/** `main.conf`, `logging.conf` and the environment as one typed service. Keys are the contract's, in camel case. */
import { FileSystem, Path } from "@effect/platform"
import { Context, Duration, Effect, Layer, Option, Schema } from "effect"
import { parse, TomlError } from "smol-toml"
import { NodeId, root } from "../NodeId.ts"
import { ConfigError, type ConfigProblem } from "./ConfigError.ts"
import * as Decoder from "./Decoder.ts"
import { type Environment, Source } from "./Source.ts"

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
    /** Bytes a second, averaged over `limits.body_idle_timeout`. */
    readonly minRate: number
    readonly cleanupFrequency: Duration.Duration
    readonly outbox: string
    /** Bytes. */
    readonly outboxMaxSize: number
    readonly forwardWait: Duration.Duration
    /** How long the policy server may be silent while it takes a file. */
    readonly forwardTimeout: Duration.Duration
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

/** Settings, and what an administrator should know about them. */
export interface LoadedSettings {
  readonly settings: Settings
  readonly warnings: ReadonlyArray<string>
}

export class RelayConfig extends Context.Tag("rudder-relay/RelayConfig")<RelayConfig, Settings>() {
  /** `main.conf` and `logging.conf` of a folder, with the environment over them; warnings are logged. */
  static readonly layer = (directory: string, environment: Environment = process.env) =>
    Layer.effect(
      RelayConfig,
      load(directory, environment).pipe(
        Effect.tap(({ warnings }) => Effect.forEach(warnings, (warning) => Effect.logWarning(warning))),
        Effect.map(({ settings }) => settings)
      )
    )
}

const MiB = 1024 * 1024
const GiB = 1024 * MiB

/** Keys that Rudder's own relay has and this one has no use for. */
const unused = [
  "general.core_threads",
  "general.blocking_threads",
  "general.certificate_verification_mode",
  "processing",
  "output.database",
  "output.upstream.user",
  "output.upstream.password",
  "output.upstream.default_password",
  "output.upstream.verify_certificates",
  "rsync"
]

const levels = ["trace", "debug", "info", "warn", "error"] as const
const access = Decoder.list(Decoder.accessEntry)

type Section<Name extends keyof Settings> = Settings[Name]

const general = (source: Source, nodeId: NodeId): Section<"general"> => ({
  nodeId,
  nodesListFile: source.or("general.nodes_list_file", Decoder.path, "/var/rudder/lib/relay/nodeslist.json"),
  nodesCertsFile: source.or(
    "general.nodes_certs_file",
    Decoder.path,
    "/var/rudder/lib/ssl/shared/allnodescerts.pem"
  ),
  listen: source.or("general.listen", Decoder.listen, { host: "127.0.0.1", port: 3030 }),
  httpsPort: source.or("general.https_port", Decoder.integer(1, 65_535), 443),
  httpsIdleTimeout: source.or("general.https_idle_timeout", Decoder.duration, Duration.seconds(2)),
  peerAuthentication: source.or(
    "general.peer_authentication",
    Decoder.oneOf("cert_pinning", "cert_validation", "dangerous_none"),
    "cert_pinning"
  ),
  caPath: source.optional("general.ca_path", Decoder.path),
  shutdownGrace: source.or("general.shutdown_grace", Decoder.duration, Duration.seconds(30)),
  ignoreProcessing: source.or("general.ignore_processing", Decoder.boolean, false)
})

const output = (source: Source, { nodeId, httpsPort }: Section<"general">): Section<"output"> => {
  const host = source.optional("output.upstream.host", Decoder.host)
  const url = Option.orElse(source.optional("output.upstream.url", Decoder.httpUrl), () =>
    Option.map(host, (name) => new URL(`https://${name.includes(":") ? `[${name}]` : name}:${httpsPort}`))
  )
  if (
    nodeId !== root &&
    Option.isNone(url) &&
    !source.has("output.upstream.host") &&
    !source.has("output.upstream.url")
  )
    source.wrong(
      "output.upstream.host",
      "expected the host name of the policy server, since this is not the root server"
    )
  return {
    upstream: {
      host,
      url,
      serverCertificateFile: source.or(
        "output.upstream.server_certificate_file",
        Decoder.path,
        "/var/rudder/lib/ssl/policy_server.pem"
      )
    }
  }
}

const tls = (source: Source): Section<"tls"> => {
  const certificate = source.optional("tls.certificate", Decoder.path)
  const key = source.optional("tls.key", Decoder.path)
  if (source.has("tls.certificate") !== source.has("tls.key"))
    source.wrong(
      source.has("tls.key") ? "tls.key" : "tls.certificate",
      "expected both tls.certificate and tls.key, or neither"
    )
  return {
    identity: Option.all({ certificate, key }),
    clientCertificates: source.or(
      "tls.client_certificates",
      Decoder.oneOf("none", "request", "require"),
      "request"
    )
  }
}

const remoteRun = (source: Source): Section<"remoteRun"> => ({
  enabled: source.or("remote_run.enabled", Decoder.boolean, true),
  command: source.or("remote_run.command", Decoder.path, "/opt/rudder/bin/rudder"),
  useSudo: source.or("remote_run.use_sudo", Decoder.boolean, true),
  maxConcurrent: source.or("remote_run.max_concurrent", Decoder.integer(1, 10_000), 50),
  timeout: source.or("remote_run.timeout", Decoder.period, Duration.hours(1)),
  killGrace: source.or("remote_run.kill_grace", Decoder.duration, Duration.seconds(5)),
  outputLimit: source.or("remote_run.output_limit", Decoder.size, 64 * MiB),
  directory: source.or("remote_run.directory", Decoder.path, "/var/rudder/relay/runs"),
  retention: source.or("remote_run.retention", Decoder.duration, Duration.days(7)),
  maxSize: source.or("remote_run.max_size", Decoder.size, GiB)
})

const sharedFiles = (source: Source): Section<"sharedFiles"> => {
  const retry = {
    initial: source.or("shared_files.retry.initial", Decoder.period, Duration.seconds(1)),
    max: source.or("shared_files.retry.max", Decoder.period, Duration.minutes(5))
  }
  if (Duration.greaterThan(retry.initial, retry.max))
    source.wrong("shared_files.retry.max", "expected at least shared_files.retry.initial")
  return {
    path: source.or("shared_files.path", Decoder.path, "/var/rudder/shared-files-nodes"),
    layout: source.or(
      "shared_files.layout",
      Decoder.oneOf("tree", "rudder"),
      source.has("shared_files.path") ? "rudder" : "tree"
    ),
    maxBodySize: source.or("shared_files.max_body_size", Decoder.size, 0),
    minFree: source.or("shared_files.min_free", Decoder.size, 256 * MiB),
    maxUploads: source.or("shared_files.max_uploads", Decoder.integer(1, 100_000), 64),
    maxUploadsPerAddress: source.or("shared_files.max_uploads_per_address", Decoder.integer(1, 100_000), 16),
    minRate: source.or("shared_files.min_rate", Decoder.size, 4096),
    cleanupFrequency: source.or("shared_files.cleanup.frequency", Decoder.period, Duration.minutes(10)),
    outbox: source.or("shared_files.outbox", Decoder.path, "/var/rudder/relay/outbox"),
    outboxMaxSize: source.or("shared_files.outbox_max_size", Decoder.size, 10 * GiB),
    forwardWait: source.or("shared_files.forward_wait", Decoder.duration, Duration.seconds(5)),
    forwardTimeout: source.or("shared_files.forward_timeout", Decoder.period, Duration.seconds(60)),
    retry
  }
}

const whoMayCall = (source: Source): Section<"access"> => ({
  policyServer: source.optional("access.policy_server", access),
  nodes: source.optional("access.nodes", access),
  admin: source.optional("access.admin", access),
  trustedProxies: source.optional("access.trusted_proxies", access),
  hosts: source.or("access.hosts", Decoder.list(Decoder.host), []),
  policyServerKeyHash: source.or("access.policy_server_key_hash", Decoder.list(Decoder.keyHash), [])
})

const limits = (source: Source): Section<"limits"> => ({
  headersTimeout: source.or("limits.headers_timeout", Decoder.period, Duration.seconds(10)),
  bodyIdleTimeout: source.or("limits.body_idle_timeout", Decoder.period, Duration.seconds(60)),
  maxHeaderSize: source.or(
    "limits.max_header_size",
    {
      ...Decoder.size,
      toml: atLeast1KiB(Decoder.size.toml),
      text: atLeast1KiB(Decoder.size.text),
      expected: "a size of at least 1KiB"
    },
    16 * 1024
  ),
  maxConnections: source.or("limits.max_connections", Decoder.integer(1, 1_000_000), 4096)
})

const atLeast1KiB =
  <I>(decode: (input: I) => Option.Option<number>) =>
  (input: I) =>
    Option.filter(decode(input), (bytes) => bytes >= 1024)

/** Someone relies on reports or inventories being processed here; this relay does not do that. */
const refuseProcessing = (source: Source, ignored: boolean): void => {
  for (const key of ["processing.inventory.output", "processing.reporting.output"]) {
    const value = source.optional(key, Decoder.string)
    if (!ignored && Option.isSome(value) && value.value !== "disabled")
      source.wrong(
        key,
        `is "${value.value}", but this relay does not process reports and inventories: leave that to Rudder's own relay beside it, on another port, and set general.ignore_processing = true here`
      )
  }
}

/** All settings from their sources; what is wrong is collected in `source`. */
const decode = (source: Source, nodeId: NodeId, level: LogLevelName): Settings => {
  const common = general(source, nodeId)
  refuseProcessing(source, common.ignoreProcessing)
  return {
    general: common,
    output: output(source, common),
    tls: tls(source),
    remoteRun: remoteRun(source),
    sharedFiles: sharedFiles(source),
    sharedFolder: {
      path: source.or("shared_folder.path", Decoder.path, "/var/rudder/configuration-repository/shared-files")
    },
    access: whoMayCall(source),
    limits: limits(source),
    log: {
      level: source.or("log.level", Decoder.oneOf(...levels), level),
      format: source.optional("log.format", Decoder.oneOf("pretty", "logfmt", "json"))
    }
  }
}

const problem = (source: string, message: string, key?: string): ConfigProblem => ({ source, key, message })

const parseToml = (file: string, text: string) =>
  Effect.try({
    try: () => parse(text),
    catch: (cause) =>
      new ConfigError({
        problems: [
          cause instanceof TomlError
            ? problem(`${file}:${cause.line}:${cause.column}`, (cause.message.split("\n")[0] ?? "").trim())
            : problem(file, String(cause))
        ]
      })
  })

const isMissing = (error: { readonly _tag: string; readonly reason?: string }) => error.reason === "NotFound"

/** The log level of `logging.conf`, which Rudder's own relay keeps there; `info` without one. */
const loggingLevel = (file: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const text = yield* fs.readFileString(file).pipe(
      Effect.catchIf(isMissing, () => Effect.succeed("")),
      Effect.mapError((error) => new ConfigError({ problems: [problem(file, error.message)] }))
    )
    const source = new Source(file, yield* parseToml(file, text), {})
    const level = source.or("general.level", Decoder.oneOf(...levels), "info")
    if (source.problems.length > 0) return yield* new ConfigError({ problems: source.problems })
    return level
  })

const decodeNodeId = Schema.decodeOption(NodeId)

/** `general.node_id`, else what is in `general.node_id_file`. */
const ownId = (source: Source) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const given = source.optional("general.node_id", Decoder.nodeId)
    const file = source.or("general.node_id_file", Decoder.path, "/opt/rudder/etc/uuid.hive")
    if (source.has("general.node_id")) return Option.getOrElse(given, () => root)
    const text = yield* Effect.option(fs.readFileString(file))
    const id = Option.flatMap(text, (content) => decodeNodeId(content.trim()))
    if (Option.isNone(text))
      source.wrong("general.node_id", `expected a node id here, or in ${file}, which can't be read`)
    else if (Option.isNone(id)) source.wrong("general.node_id_file", `expected a node id in ${file}`)
    return Option.getOrElse(id, () => root)
  })

/**
 * Reads `main.conf` and `logging.conf` of a folder, with the environment over them. Fails with everything that is
 * wrong at once.
 */
export const load = (
  directory: string,
  environment: Environment
): Effect.Effect<LoadedSettings, ConfigError, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const file = path.join(directory, "main.conf")
    const text = yield* Effect.mapError(
      fs.readFileString(file),
      (error) =>
        new ConfigError({ problems: [problem(file, isMissing(error) ? "no such file" : error.message)] })
    )
    const source = new Source(file, yield* parseToml(file, text), environment)
    const level = yield* loggingLevel(path.join(directory, "logging.conf"))
    const settings = decode(source, yield* ownId(source), level)
    if (source.problems.length > 0) return yield* new ConfigError({ problems: source.problems })
    return { settings, warnings: warningsOf(file, source, settings) }
  }).pipe(Effect.withSpan("RelayConfig.load", { attributes: { directory } }))

const warningsOf = (file: string, source: Source, settings: Settings): ReadonlyArray<string> => {
  const unknown = source.unknown(unused)
  return [
    ...(unknown.length > 0 ? [`${file}: unknown keys, ignored: ${unknown.join(", ")}`] : []),
    ...(settings.general.peerAuthentication === "dangerous_none"
      ? ["general.peer_authentication = dangerous_none: anybody can pose as the policy server or a sub-relay"]
      : [])
  ]
}

type Given<A> = A extends
  | Option.Option<unknown>
  | Duration.Duration
  | URL
  | string
  | number
  | boolean
  | ReadonlyArray<unknown>
  ? A
  : { readonly [K in keyof A]?: Given<A[K]> }

/** Some settings, at any depth. */
export type GivenSettings = Given<Settings>

const isPlain = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype

const merge = (base: unknown, given: unknown): unknown => {
  if (!isPlain(base) || !isPlain(given)) return given === undefined ? base : given
  const merged: Record<string, unknown> = { ...base }
  for (const [key, value] of Object.entries(given)) merged[key] = merge(base[key], value)
  return merged
}

/** The contract's defaults with some settings given: for programs that embed a relay, and for tests. */
export const makeSettings = (given: GivenSettings = {}): Settings => {
  const defaults = decode(new Source("defaults", {}, {}), root, "info")
  // The merge keeps the shape: a given value has the type of the default that it replaces.
  return merge(defaults, given) as Settings
}
