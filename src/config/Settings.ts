/** What the relay's parts use: the keys' values, with those that depend on more than one key decided. */
import { Duration, Option, Schema } from "effect"
import { type NodeId, root } from "../NodeId.ts"
import { defaultSharedFiles, type Keys } from "./Keys.ts"
import * as Values from "./Values.ts"

/** How much is logged. */
export type LogLevelName = typeof Values.LogLevel.Type

/** What the relay's parts use: the keys, with those that depend on others decided (`settle`). */
export interface Settings
  extends Omit<Keys, "general" | "output" | "processing" | "tls" | "sharedFiles" | "log"> {
  readonly general: Omit<Keys["general"], "nodeId" | "nodeIdFile"> & { readonly nodeId: NodeId }
  readonly output: {
    readonly upstream: {
      /** My policy server's host name; none on root, or where only its URL is given. */
      readonly host: Option.Option<string>
      /** Where the policy server is. None on root without one. */
      readonly url: Option.Option<URL>
      readonly serverCertificateFile: string
    }
  }
  readonly tls: {
    /** Serve HTTPS with these PEM files; none: HTTP. */
    readonly identity: Option.Option<{ readonly certificate: string; readonly key: string }>
    readonly clientCertificates: Keys["tls"]["clientCertificates"]
  }
  readonly sharedFiles: Omit<Keys["sharedFiles"], "path" | "layout"> & {
    readonly path: string
    readonly layout: "tree" | "rudder"
  }
  readonly log: Omit<Keys["log"], "level"> & { readonly level: LogLevelName }
}

/** What is known besides the keys: the id in `general.node_id_file`, and the level of `logging.conf`. */
export interface Besides {
  readonly nodeId: Option.Option<NodeId>
  readonly level: LogLevelName
}

/** Something that is wrong, or worth a warning, with a key that has a value of its type. */
export interface Remark {
  readonly key: string
  readonly message: string
}

/**
 * The settings of a configuration, and what there is to say about it. Where there are problems the settings are not to
 * be used.
 */
export interface Settled {
  readonly settings: Settings
  readonly problems: ReadonlyArray<Remark>
  readonly warnings: ReadonlyArray<Remark>
}

const upstreamOf = ({ general, output: { upstream } }: Keys, nodeId: NodeId) => {
  const problems: Array<Remark> = []
  const warnings: Array<Remark> = []
  const host = Option.filter(upstream.host, (name) => name !== "")
  const old = Option.filter(upstream.url, (text) => text !== "")
  const fromHost = Option.map(
    host,
    (name) => new URL(`https://${name.includes(":") ? `[${name.split("%")[0]}]` : name}:${general.httpsPort}`)
  )
  let url = Option.orElse(upstream.baseUrl, () => fromHost)
  if (Option.isSome(old) && Option.isSome(url))
    warnings.push({
      key: "output.upstream.url",
      message: `is not used, since output.upstream.${Option.isSome(upstream.baseUrl) ? "base_url" : "host"} is set`
    })
  else if (Option.isSome(old)) {
    url = Schema.decodeOption(Values.HttpUrl)(old.value)
    if (Option.isNone(url))
      problems.push({
        key: "output.upstream.url",
        message: `expected an http or https URL, got ${JSON.stringify(old.value)}`
      })
    else
      warnings.push({
        key: "output.upstream.url",
        message: "is an older name; set output.upstream.host, or output.upstream.base_url"
      })
  } else if (Option.isNone(url) && nodeId !== root)
    problems.push({
      key: "output.upstream.host",
      message: "expected the host name of the policy server, since this is not the root server"
    })
  const { serverCertificateFile } = upstream
  return { upstream: { host, url, serverCertificateFile }, problems, warnings }
}

/** What is wrong with keys together, though each of them is right by itself. */
const contradictions = ({
  general,
  processing,
  tls,
  sharedFiles: { retry }
}: Keys): ReadonlyArray<Remark> => {
  const found: Array<Remark> = []
  if (Option.isSome(tls.certificate) !== Option.isSome(tls.key))
    found.push({
      key: Option.isSome(tls.key) ? "tls.key" : "tls.certificate",
      message: "expected both tls.certificate and tls.key, or neither"
    })
  if (Duration.greaterThan(retry.initial, retry.max))
    found.push({ key: "shared_files.retry.max", message: "expected at least shared_files.retry.initial" })
  for (const kind of ["inventory", "reporting"] as const) {
    const { output } = processing[kind]
    // Someone relies on reports or inventories being processed here; this relay does not do that.
    if (output !== "disabled" && !general.ignoreProcessing)
      found.push({
        key: `processing.${kind}.output`,
        message: `is "${output}", but this relay does not process reports and inventories: leave that to Rudder's own relay beside it, on another port, and set general.ignore_processing = true here`
      })
  }
  return found
}

/** Decides what depends on more than one key. */
export const settle = (keys: Keys, besides: Besides): Settled => {
  const { general, output: _output, processing: _processing, tls, sharedFiles, log, ...rest } = keys
  const { nodeId: given, nodeIdFile: _file, ...others } = general
  const nodeId = Option.getOrElse(
    Option.orElse(given, () => besides.nodeId),
    () => root
  )
  const { upstream, problems, warnings } = upstreamOf(keys, nodeId)
  const unguarded: ReadonlyArray<Remark> =
    general.peerAuthentication === "dangerous_none"
      ? [
          {
            key: "general.peer_authentication",
            message: "dangerous_none: anybody can pose as the policy server or a sub-relay"
          }
        ]
      : []
  return {
    settings: {
      ...rest,
      general: { ...others, nodeId },
      output: { upstream },
      tls: {
        identity: Option.all({ certificate: tls.certificate, key: tls.key }),
        clientCertificates: tls.clientCertificates
      },
      sharedFiles: {
        ...sharedFiles,
        path: Option.getOrElse(sharedFiles.path, () => defaultSharedFiles),
        layout: Option.getOrElse(sharedFiles.layout, () =>
          Option.isSome(sharedFiles.path) ? "rudder" : "tree"
        )
      },
      log: { ...log, level: Option.getOrElse(log.level, () => besides.level) }
    },
    problems: [...problems, ...contradictions(keys)],
    warnings: [...warnings, ...unguarded]
  }
}
