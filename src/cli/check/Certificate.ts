/** Certificates and keys: the relay's own, and those that others are known by. */
import { X509Certificate } from "node:crypto"
import { createSecureContext } from "node:tls"
import { FileSystem } from "@effect/platform"
import { Clock, Effect, Option } from "effect"
import type { Keys } from "../../config/Keys.ts"
import type { Settings } from "../../config/Settings.ts"
import * as CertificateFile from "../../topology/CertificateFile.ts"
import { type Finding, type Findings, finding, type Kind, nothing } from "./Finding.ts"
import { reasonOf } from "./SystemCall.ts"

/** A file that a key names. */
interface NamedFile {
  readonly key: string
  readonly file: string
}

const told = (kind: Kind, { key, file }: NamedFile, message: string): ReadonlyArray<Finding> => [
  finding(kind, "certificate", { key, file, message })
]

const text = (named: NamedFile) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) => fs.readFileString(named.file)).pipe(
    Effect.mapError((error) => told("start", named, `${named.file} can't be read: ${reasonOf(error)}`)),
    Effect.filterOrFail(
      (pem) => pem !== "",
      () => told("start", named, `${named.file} is empty`)
    )
  )

const day = 24 * 60 * 60 * 1000

/** So long before its end a certificate is worth a warning: days. */
const soon = 14

/** When the first certificate of a file counts, if not now. */
const outOfTime = (named: NamedFile, pem: string): Findings =>
  Effect.map(Clock.currentTimeMillis, (now) => {
    const certificate = Option.liftThrowable(() => new X509Certificate(pem))()
    if (Option.isNone(certificate)) return nothing
    const { validFrom, validTo } = certificate.value
    const left = (Date.parse(validTo) - now) / day
    if (left < 0) return told("work", named, `${named.file} has expired: ${validTo}`)
    if (Date.parse(validFrom) > now)
      return told("work", named, `${named.file} is not valid yet: it will be ${validFrom}`)
    return left < soon
      ? told("warning", named, `${named.file} expires in ${Math.floor(left)} days: ${validTo}`)
      : nothing
  })

const unfit = (certificate: NamedFile, key: NamedFile, cert: string, pem: string) =>
  Effect.try({
    try: () => createSecureContext({ cert, key: pem }),
    catch: (cause) => {
      const why = cause instanceof Error ? cause.message : String(cause)
      const message = `${certificate.file} and ${key.file} can't be used together: ${why}`
      return [
        finding("start", "certificate", {
          key: "tls.certificate and tls.key",
          file: certificate.file,
          message
        })
      ]
    }
  })

/** The relay's own certificate and key: each is looked at, also where the other is not given. */
export const ofTls = ({ certificate, key }: Keys["tls"]): Findings<FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const files = {
      certificate: Option.map(certificate, (file): NamedFile => ({ key: "tls.certificate", file })),
      key: Option.map(key, (file): NamedFile => ({ key: "tls.key", file }))
    }
    const given = [...Option.toArray(files.certificate), ...Option.toArray(files.key)]
    const both = Option.all(files)
    const [unread, texts] = yield* Effect.partition(given, text)
    const [cert = "", pem = ""] = texts
    if (unread.length > 0 || Option.isNone(both)) return unread.flat()
    return yield* Effect.matchEffect(unfit(both.value.certificate, both.value.key, cert, pem), {
      onFailure: Effect.succeed,
      onSuccess: () => outOfTime(both.value.certificate, cert)
    })
  })

/** A file that has to have a certificate. */
const withCertificate = (named: NamedFile) =>
  Effect.flatMap(text(named), (pem) =>
    [...CertificateFile.ders(pem)].some((der) => Option.isSome(CertificateFile.read(der)))
      ? Effect.void
      : Effect.fail(told("work", named, `${named.file} has no certificate in PEM`))
  )

const orNothing = <R>(looking: Effect.Effect<unknown, ReadonlyArray<Finding>, R>): Findings<R> =>
  Effect.match(looking, { onSuccess: () => nothing, onFailure: (found) => found })

/** What other relays are known by. The policy server's certificate may still come, and is looked for until then. */
export const ofPeers = ({ general, output }: Settings): Findings<FileSystem.FileSystem> => {
  if (general.peerAuthentication === "cert_validation" && Option.isSome(general.caPath))
    return orNothing(withCertificate({ key: "general.ca_path", file: general.caPath.value }))
  const { serverCertificateFile: file, url } = output.upstream
  const pins = general.peerAuthentication === "cert_pinning" && Option.isSome(url)
  if (!pins || url.value.protocol === "http:") return Effect.succeed(nothing)
  const found = orNothing(withCertificate({ key: "output.upstream.server_certificate_file", file }))
  return Effect.map(found, (all) =>
    all.map((one) =>
      one.kind === "start"
        ? {
            ...one,
            kind: "warning",
            message: `${one.message}; nothing is sent to the policy server until it is there`
          }
        : one
    )
  )
}
