/** The files that Rudder's policy generation writes: the nodes list, and the nodes' certificates. */
import { FileSystem } from "@effect/platform"
import { Effect, Option } from "effect"
import type { Settings } from "../../config/Settings.ts"
import { isHostname } from "../../Hostname.ts"
import * as CertificateFile from "../../topology/CertificateFile.ts"
import type { Node } from "../../topology/Node.ts"
import { type ParsedNodesList, parse } from "../../topology/NodesListFile.ts"
import { type Finding, type Findings, finding, type Kind, nothing } from "./Finding.ts"
import { reasonOf } from "./SystemCall.ts"

/** So many are named; the others are counted. */
const maxExamples = 5

const some = (names: ReadonlyArray<string>): string =>
  `${names.slice(0, maxExamples).join(" ")}${names.length > maxExamples ? " …" : ""}`

const listKey = "general.nodes_list_file"
const certificatesKey = "general.nodes_certs_file"

const ofContent = (file: string, { bad, nodes }: ParsedNodesList): ReadonlyArray<Finding> => {
  const told = (message: string) => finding("warning", "nodes-list", { key: listKey, file, message })
  const unnamed = [...nodes.values()].filter(({ hostname }) => !isHostname(hostname)).map(({ id }) => id)
  return [
    ...(bad.count === 0
      ? []
      : [told(`${bad.count} entries of ${file} can't be used: ${bad.examples.join(" ")}`)]),
    ...(unnamed.length === 0
      ? []
      : [
          told(
            `${unnamed.length} nodes of ${file} have a host name that is never contacted: ${some(unnamed)}`
          )
        ])
  ]
}

/** What is in a nodes list, and what is wrong with it: one that does not parse is wrong, though the relay starts with it. */
const list = ({ general: { nodesListFile: file } }: Settings) =>
  Effect.gen(function* () {
    const none: ReadonlyMap<string, Node> = new Map()
    const told = (kind: Kind, message: string) => ({
      nodes: none,
      found: [finding(kind, "nodes-list", { key: listKey, file, message })]
    })
    const fs = yield* FileSystem.FileSystem
    const bytes = yield* Effect.either(fs.readFile(file))
    if (bytes._tag === "Left") {
      const isAbsent = bytes.left._tag === "SystemError" && bytes.left.reason === "NotFound"
      return isAbsent
        ? told("warning", `${file} is not there, and can't be read: no nodes are known until it is`)
        : told("work", `${file} can't be read; no nodes are known: ${reasonOf(bytes.left)}`)
    }
    return yield* Effect.match(parse(bytes.right), {
      onFailure: ({ message }) => told("work", `${file}: ${message}`),
      onSuccess: (parsed) => ({ nodes: parsed.nodes, found: ofContent(file, parsed) })
    })
  })

/** Relays right below this one: what other nodes have as their policy server. */
const subRelays = (me: string, nodes: ReadonlyMap<string, Node>): ReadonlyArray<Node> => {
  const servers = new Set([...nodes.values()].map(({ policyServer }) => policyServer))
  return [...servers]
    .filter((id) => id !== me)
    .flatMap((id) => Option.toArray(Option.fromNullable(nodes.get(id))))
    .filter(({ policyServer }) => policyServer === me)
}

/** To read one takes 160 µs, and there may be a hundred thousand; those of relays are few. */
const idsIn = (pem: string, wanted: ReadonlySet<string>): ReadonlySet<string> => {
  const found = new Set<string>()
  for (const der of CertificateFile.ders(pem)) {
    if (found.size === wanted.size) break
    const text = der.toString("latin1")
    if (![...wanted].some((id) => text.includes(id))) continue
    const id = Option.flatMap(CertificateFile.read(der), ({ subject }) => CertificateFile.uidOf(subject))
    if (Option.isSome(id) && wanted.has(id.value)) found.add(id.value)
  }
  return found
}

/** Certificates of nodes: without that of a sub-relay, nothing is sent to it where keys are pinned. */
const certificates = ({ general }: Settings, nodes: ReadonlyMap<string, Node>) =>
  Effect.gen(function* () {
    const file = general.nodesCertsFile
    const told = (kind: Kind, message: string) => [
      finding(kind, "node-certificates", { key: certificatesKey, file, message })
    ]
    const fs = yield* FileSystem.FileSystem
    const wanted = subRelays(general.nodeId, nodes).map(({ id }) => id)
    const pem = yield* Effect.either(fs.readFileString(file))
    const needed = general.peerAuthentication === "cert_pinning" && wanted.length > 0
    if (pem._tag === "Left") {
      const isAbsent = pem.left._tag === "SystemError" && pem.left.reason === "NotFound"
      if (!isAbsent) return told("work", `${file} can't be read: ${reasonOf(pem.left)}`)
      return needed
        ? told("warning", `${file} is not there: nothing is sent to the sub-relays ${some(wanted)}`)
        : nothing
    }
    if (pem.right.trim() !== "" && CertificateFile.ders(pem.right).next().done === true)
      return told("work", `${file} has no certificate in PEM`)
    if (!needed) return nothing
    const known = idsIn(pem.right, new Set<string>(wanted))
    const without = wanted.filter((id) => !known.has(id))
    return without.length === 0
      ? nothing
      : told(
          "warning",
          `${file} has no certificate of the sub-relays ${some(without)}: nothing is sent to them`
        )
  })

/** What is wrong with either. */
export const wrong = (settings: Settings): Findings<FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const { found, nodes } = yield* list(settings)
    return [...found, ...(yield* certificates(settings, nodes))]
  })
