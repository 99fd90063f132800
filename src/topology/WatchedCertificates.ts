/** The certificates of the nodes, from the file that the server writes, followed as it is replaced. */
import { Effect, Layer, Option, Ref } from "effect"
import { RelayConfig } from "../config/RelayConfig.ts"
import * as EventLoop from "../EventLoop.ts"
import * as Permits from "../Permits.ts"
import * as CertificateEnds from "./CertificateEnds.ts"
import * as CertificateFile from "./CertificateFile.ts"
import { Certificates, CertificatesUnreadable } from "./Certificates.ts"
import * as WatchedFile from "./WatchedFile.ts"

/** To read a certificate takes 160 µs; to find the id in its bytes takes one or two. */
const certificatesPerTurn = 1000

/** The DER of the object identifier 0.9.2342.19200300.100.1.1, which is UID. */
const uidIdentifier = Buffer.from("060a0992268993f22c640101", "hex")

/** Every UID that the DER names, be it the subject's or the issuer's: which of them counts is looked at when it is used. */
const uidsIn = (der: Buffer): ReadonlySet<string> => {
  const found = new Set<string>()
  for (let at = der.indexOf(uidIdentifier); at !== -1; at = der.indexOf(uidIdentifier, at + 1)) {
    const value = at + uidIdentifier.length
    // A string of less than 128 bytes: its type, its length, its text.
    found.add(der.toString("utf8", value + 2, value + 2 + (der[value + 1] ?? 0)))
  }
  return found
}

/** What the file says. */
interface Known {
  /** The DER of each node's certificates, by the node's id. */
  readonly found: ReadonlyMap<string, ReadonlyArray<Buffer>>
  /** When each certificate ends. */
  readonly ends: Float64Array
}

const index = (text: string) =>
  Effect.gen(function* () {
    const found = new Map<string, Array<Buffer>>()
    const ends: Array<number> = []
    let count = 0
    for (const der of CertificateFile.ders(text)) {
      for (const id of uidsIn(der)) {
        const others = found.get(id)
        if (others === undefined) found.set(id, [der])
        else others.push(der)
      }
      const end = CertificateEnds.of(der)
      if (end !== undefined) ends.push(end)
      if (++count % certificatesPerTurn === 0) yield* EventLoop.turn
    }
    return { found, ends: Float64Array.from(ends) }
  })

/** What `layer` has. */
export const make = Effect.gen(function* () {
  const { general } = yield* RelayConfig
  const path = general.nodesCertsFile
  const file = yield* WatchedFile.make(path)
  const known = yield* Ref.make<Known>({ found: new Map(), ends: new Float64Array() })
  const reloading = Permits.make(1)

  const told = yield* Ref.make("")

  const wasRead = yield* Ref.make(false)

  const take = ({ bytes }: WatchedFile.Read) =>
    Effect.gen(function* () {
      const read = yield* index(Buffer.from(bytes).toString("utf8"))
      yield* Ref.set(known, read)
      yield* Ref.set(wasRead, true)
      if (read.found.size === 0 && bytes.length > 0)
        yield* Effect.logWarning("the file of node certificates has no certificate of a node").pipe(
          Effect.annotateLogs({ file: path })
        )
    })

  /** Without a file no certificate is known, which is nothing wrong; where there was one, what it said stays in force. */
  const withoutFile = Effect.flatMap(Ref.get(wasRead), (was) =>
    was ? Effect.fail({ message: "it is gone; what it said stays in force" }) : Effect.void
  )

  const reload = Effect.flatMap(file.isThere, (isThere) =>
    isThere ? Effect.flatMap(file.read, take) : withoutFile
  ).pipe(
    Effect.andThen(Ref.set(told, "")),
    Effect.mapError(({ message }) => new CertificatesUnreadable({ message: `${path}: ${message}` })),
    // It is tried again and again, and told once.
    Effect.tapError(({ message: problem }) =>
      Effect.flatMap(Ref.getAndSet(told, problem), (before) =>
        problem === before
          ? Effect.void
          : Effect.logWarning("node certificates can't be loaded").pipe(Effect.annotateLogs({ problem }))
      )
    ),
    reloading,
    Effect.withSpan("Certificates.reload")
  )
  yield* Effect.ignore(reload)
  yield* file.follow(Effect.ignore(reload))

  return Certificates.of({
    forNode: (id) =>
      Effect.map(Ref.get(known), ({ found }) =>
        (found.get(id) ?? [])
          .flatMap((der) => Option.toArray(CertificateFile.read(der)))
          .filter(({ subject }) => Option.contains(CertificateFile.uidOf(subject), id))
      ),
    ends: Effect.map(Ref.get(known), ({ ends }) => ends),
    reload
  })
})

/** `general.nodes_certs_file`, looked at twice a second. */
export const layer = Layer.scoped(Certificates, make)
