/** Which of the certificates that the relay uses end when. */
import { FileSystem } from "@effect/platform"
import { Effect, Option, Ref } from "effect"
import { RelayConfig } from "../config/RelayConfig.ts"
import { root } from "../NodeId.ts"
import * as CertificateEnds from "../topology/CertificateEnds.ts"
import * as CertificateFile from "../topology/CertificateFile.ts"
import { Certificates } from "../topology/Certificates.ts"
import { OwnCertificate } from "../topology/OwnCertificate.ts"

/** `own`: `tls.certificate`, as it is served. `upstream`: the policy server's, whose key is pinned. `nodes`: those of the nodes, of which the first counts. */
export type CertificateKind = "own" | "upstream" | "nodes"

/** When the certificates of a kind end. */
export interface CertificateGroup {
  readonly kind: CertificateKind
  /** How many there are. */
  readonly count: number
  /** When the first of them ends: milliseconds since 1970. */
  readonly first: number
  /** How many end before this time: milliseconds since 1970. */
  readonly endingBefore: (time: number) => number
}

const groupOf = (kind: CertificateKind, ends: ArrayLike<number>): ReadonlyArray<CertificateGroup> => {
  let first = Number.POSITIVE_INFINITY
  for (let at = 0; at < ends.length; at++) first = Math.min(first, ends[at] ?? first)
  if (first === Number.POSITIVE_INFINITY) return []
  const endingBefore = (time: number) => {
    let count = 0
    for (let at = 0; at < ends.length; at++) if ((ends[at] ?? time) < time) count++
    return count
  }
  return [{ kind, count: ends.length, first, endingBefore }]
}

const ofText = (kind: CertificateKind, text: string) => {
  const ends: Array<number> = []
  for (const der of CertificateFile.ders(text)) {
    const end = CertificateEnds.of(der)
    if (end !== undefined) ends.push(end)
  }
  // A chain follows the certificate itself.
  return groupOf(kind, kind === "own" ? ends.slice(0, 1) : ends)
}

/** What can't be read is said where it is used: at the start, at a reload, or by the policy server's part of the status. */
const ofFile = (kind: CertificateKind, path: string) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) => fs.readFileString(path)).pipe(
    Effect.map((text) => ofText(kind, text)),
    Effect.orElseSucceed((): ReadonlyArray<CertificateGroup> => [])
  )

/** The one in force; where the relay's own listener serves none, the one that is shown to other relays, from its file. */
const ofOwn = (file: string) =>
  Effect.gen(function* () {
    const own = yield* Effect.serviceOption(OwnCertificate)
    const inForce = Option.isSome(own) ? yield* Ref.get(own.value) : Option.none()
    return Option.isSome(inForce) ? ofText("own", inForce.value) : yield* ofFile("own", file)
  })

/** Those that there are. */
export const groups: Effect.Effect<
  ReadonlyArray<CertificateGroup>,
  never,
  Certificates | FileSystem.FileSystem | RelayConfig
> = Effect.gen(function* () {
  const { general, output, tls } = yield* RelayConfig
  const { ends } = yield* Certificates
  const own = Option.isSome(tls.identity) ? yield* ofOwn(tls.identity.value.certificate) : []
  const pins = general.nodeId !== root && general.peerAuthentication === "cert_pinning"
  const upstream = pins ? yield* ofFile("upstream", output.upstream.serverCertificateFile) : []
  return [...own, ...upstream, ...groupOf("nodes", ends === undefined ? [] : yield* ends)]
})
