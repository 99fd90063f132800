/** Certificates in PEM, as they stand in files, and the node ids in them. */
import { type KeyObject, X509Certificate } from "node:crypto"
import { FileSystem } from "@effect/platform"
import { Data, Effect, Option } from "effect"

const block = /-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/g

/** The DER of each certificate in a text, one by one: there may be many. */
export function* ders(text: string): Generator<Buffer> {
  for (const [, base64 = ""] of text.matchAll(block)) yield Buffer.from(base64, "base64")
}

/** None where the DER is no certificate. */
export const read = Option.liftThrowable((der: Buffer) => new X509Certificate(der))

/**
 * The UID of a subject as node prints it, which a node's certificate has its id in: one RDN a line, and ` + ` within one; a
 * line break or `+` inside a value is escaped.
 */
export const uidOf = (subject: string): Option.Option<string> =>
  Option.fromNullable(/^(?:.* \+ )?(?:UID|userId)=(.*?)(?: \+ .*)?$/im.exec(subject)?.[1])

/** A file that should have a certificate can't be read, or has none. */
class CertificateMissing extends Data.TaggedError("CertificateMissing")<{
  /** Names the file. */
  readonly message: string
}> {}

/**
 * A file in PEM, of certificates or of a key, read whole. Fails where it is empty: node takes no text for none given, serves
 * without a certificate then, and trusts the system's authorities in the place of those that were named.
 */
export const text = (file: string): Effect.Effect<string, CertificateMissing, FileSystem.FileSystem> =>
  Effect.flatMap(FileSystem.FileSystem, (fs) => fs.readFileString(file)).pipe(
    Effect.mapError(({ message }) => new CertificateMissing({ message })),
    Effect.filterOrFail(
      (pem) => pem !== "",
      () => new CertificateMissing({ message: `${file}: it is empty` })
    )
  )

/** The keys of a file's certificates: at least one. */
export const keys = (
  file: string
): Effect.Effect<ReadonlyArray<KeyObject>, CertificateMissing, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const found = [...ders(yield* text(file))].flatMap((der) => Option.toArray(read(der)))
    if (found.length === 0) return yield* new CertificateMissing({ message: `${file}: no certificate in it` })
    return found.map(({ publicKey }) => publicKey)
  })
