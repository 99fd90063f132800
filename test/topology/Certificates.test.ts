import { renameSync, rmSync, writeFileSync } from "node:fs"
import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, TestClock } from "effect"
import { makeSettings } from "../../src/config/GivenSettings.ts"
import { RelayConfig } from "../../src/config/RelayConfig.ts"
import { type Attribute, certificateOf } from "../../src/testing/SelfSigned.ts"
import { Certificates, type CertificatesService } from "../../src/topology/Certificates.ts"
import * as WatchedCertificates from "../../src/topology/WatchedCertificates.ts"
import { secretNamed } from "../support/Keys.ts"
import { logLines } from "../support/LogLines.ts"
import { holds } from "../support/Until.ts"

/** Keys of 2048 bits take a moment each; two do for all certificates. */
const keys = [secretNamed("source"), secretNamed("other")] as const
const certificate = (which: 0 | 1, ...subject: ReadonlyArray<ReadonlyArray<Attribute>>) =>
  certificateOf(keys[which], subject)

const a1 = certificate(0, [["UID", "A"]])
const a2 = certificate(1, [["UID", "A"]])
const b = certificate(0, [["CN", "b.example.com"]], [["UID", "B"]])

/** The service over a file with this text; none: no file. */
const over = <A, E>(
  text: string | undefined,
  test: (
    certificates: CertificatesService,
    replace: (text: string) => void,
    file: string
  ) => Effect.Effect<A, E>
) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const file = `${yield* fs.makeTempDirectoryScoped({ prefix: "rudder-relay-certs-" })}/all.pem`
    const replace = (text: string) => {
      writeFileSync(`${file}.new`, text)
      renameSync(`${file}.new`, file)
    }
    if (text !== undefined) replace(text)
    const settings = makeSettings({ general: { nodesCertsFile: file } })
    return yield* Effect.flatMap(Certificates, (certificates) => test(certificates, replace, file)).pipe(
      Effect.provide(WatchedCertificates.layer.pipe(Layer.provide(Layer.succeed(RelayConfig, settings))))
    )
  }).pipe(Effect.scoped, Effect.provide(NodeContext.layer))

const of = (certificates: CertificatesService, id: string) =>
  Effect.map(certificates.forNode(id), (found) => found.map((x509) => x509.toString()))

const turn = Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))

/** Lets two seconds pass, and the file be read meanwhile. */
const withinTwoSeconds = <A>(look: Effect.Effect<A>, until: (found: A) => boolean) =>
  Effect.gen(function* () {
    for (let i = 0; i < 4; i++) {
      yield* TestClock.adjust("500 millis")
      for (let j = 0; j < 20; j++) yield* turn
    }
    yield* holds("the certificates are the file's", Effect.map(look, until))
  })

describe("the certificates of nodes", () => {
  it.effect("are those with the node's id as UID, however many", () =>
    over(a1.cert + b.cert + a2.cert, (certificates) =>
      Effect.gen(function* () {
        expect(yield* of(certificates, "A")).toEqual([a1.cert, a2.cert])
        expect(yield* of(certificates, "B")).toEqual([b.cert])
        expect(yield* of(certificates, "C")).toEqual([])
      })
    )
  )

  it.effect("are found among text, Windows line ends, and blocks that are no certificates", () => {
    const broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    const key = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"
    const cut = `${a2.cert.slice(0, 400)}\n`
    return over(`# A\n${broken}${a1.cert.replaceAll("\n", "\r\n")}${key}${cut}${b.cert}`, (certificates) =>
      Effect.gen(function* () {
        expect(yield* of(certificates, "A")).toEqual([a1.cert])
        expect(yield* of(certificates, "B")).toEqual([b.cert])
      })
    )
  })

  it.effect("are not those that only look like it", () => {
    const texts = ["x\nUID=A", "x + UID=A", "UID=A"].map((name) => certificate(1, [["CN", name]]).cert)
    const issued = certificateOf(keys[1], [[["UID", "C"]]], undefined, [[["UID", "A"]]])
    return over([...texts, issued.cert, b.cert].join(""), (certificates) =>
      Effect.map(of(certificates, "A"), (found) => expect(found).toEqual([]))
    )
  })

  it.effect("are none without a file, and the file's once it is there", () =>
    over(undefined, (certificates, replace) =>
      Effect.gen(function* () {
        expect(yield* of(certificates, "A")).toEqual([])
        yield* certificates.reload
        replace(a1.cert)
        yield* withinTwoSeconds(of(certificates, "A"), ([found]) => found === a1.cert)
      })
    )
  )

  it.effect("are replaced within 2 s of the file, and at once on a reload", () =>
    over(a1.cert, (certificates, replace) =>
      Effect.gen(function* () {
        yield* withinTwoSeconds(of(certificates, "A"), ([found]) => found === a1.cert)
        replace(a2.cert)
        yield* withinTwoSeconds(of(certificates, "A"), ([found]) => found === a2.cert)
        replace(b.cert)
        yield* certificates.reload
        expect(yield* of(certificates, "A")).toEqual([])
        expect(yield* of(certificates, "B")).toEqual([b.cert])
      })
    )
  )

  it.effect("stay what they were when the file can't be read", () =>
    over(a1.cert, (certificates, _, file) =>
      Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        yield* fs.remove(file)
        yield* fs.makeDirectory(file)
        expect(yield* Effect.flip(certificates.reload)).toMatchObject({
          _tag: "CertificatesUnreadable",
          message: expect.stringContaining(file)
        })
        yield* withinTwoSeconds(Effect.void, () => true)
        expect(yield* of(certificates, "A")).toEqual([a1.cert])
      }).pipe(Effect.provide(NodeContext.layer))
    )
  )

  it.effect("stay what they were when the file goes, which is told once; so is a file without any", () => {
    const { lines, layer } = logLines()
    return over(a1.cert, (certificates, replace, file) =>
      Effect.gen(function* () {
        rmSync(file)
        yield* withinTwoSeconds(Effect.void, () => true)
        expect(yield* Effect.flip(certificates.reload)).toMatchObject({
          _tag: "CertificatesUnreadable",
          message: `${file}: it is gone; what it said stays in force`
        })
        expect(yield* of(certificates, "A")).toEqual([a1.cert])
        expect(lines).toEqual([expect.stringMatching(/^WARN .*can't be loaded problem=.*it is gone/)])
        replace(a1.cert.slice(0, -100))
        yield* withinTwoSeconds(of(certificates, "A"), (found) => found.length === 0)
        replace("")
        yield* certificates.reload
        expect(lines.slice(1)).toEqual([
          `WARN the file of node certificates has no certificate of a node file=${file}`
        ])
      })
    ).pipe(Effect.provide(layer))
  })
})
