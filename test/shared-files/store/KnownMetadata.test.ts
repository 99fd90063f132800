import { describe, expect, it } from "@effect/vitest"
import { Effect, Option, TestClock } from "effect"
import * as Metadata from "../../../src/shared-files/file/Metadata.ts"
import * as KnownMetadata from "../../../src/shared-files/store/KnownMetadata.ts"
import { metadataOf } from "../../support/Outboxes.ts"
import { openDisk } from "../../support/Stores.ts"

const path = "/file.metadata"

/** Metadata that were written long ago, as the disk has it; `reads` counts how often they were read. */
const world = Effect.gen(function* () {
  const { fs, disk } = openDisk()
  let reads = 0
  const counting = {
    ...disk,
    readText: (file: string) => {
      reads++
      return disk.readText(file)
    }
  }
  const known = KnownMetadata.make(counting)
  const put = (content: string) => {
    const metadata = metadataOf(content)
    fs.writeFileSync(`${path}.new`, Metadata.print(metadata))
    fs.renameSync(`${path}.new`, path)
    return metadata.hash
  }
  const settle = Effect.suspend(() => TestClock.setTime(fs.statSync(path).ctimeMs + 60_000))
  return { fs, known, put, settle, reads: () => reads }
})

describe("the metadata of stored files", () => {
  it.effect("are read once, as long as they stay what they are", () =>
    Effect.gen(function* () {
      const { known, put, settle, reads } = yield* world
      const hash = put("a")
      yield* settle
      for (let time = 0; time < 3; time++) expect((yield* known.read(path))?.hash).toEqual(hash)
      expect(reads()).toBe(1)
    })
  )

  it.effect("are read again when there are others, or none", () =>
    Effect.gen(function* () {
      const { fs, known, put, settle } = yield* world
      put("a")
      yield* settle
      yield* known.read(path)
      const hash = put("b")
      expect((yield* known.read(path))?.hash).toEqual(hash)
      fs.unlinkSync(path)
      expect(yield* known.read(path)).toBeUndefined()
      fs.writeFileSync(path, "nothing of the kind")
      expect(yield* known.read(path)).toBeUndefined()
    })
  )

  it.effect(
    "are not known yet where they changed a moment ago: they may again, and the disk's clock not tell",
    () =>
      Effect.gen(function* () {
        const { fs, known, put, reads } = yield* world
        put("a")
        yield* TestClock.setTime(fs.statSync(path).ctimeMs)
        yield* known.read(path)
        yield* known.read(path)
        expect(reads()).toBe(2)
      })
  )

  it.effect("are told by a look alone where they are known, and by that one reads nothing", () =>
    Effect.gen(function* () {
      const { fs, known, put, settle, reads } = yield* world
      expect(yield* known.look(path)).toBeUndefined()
      const hash = put("a")
      yield* settle
      expect(KnownMetadata.isUnread(yield* known.look(path))).toBe(true)
      expect(reads()).toBe(0)
      yield* known.read(path)
      expect(yield* known.look(path)).toMatchObject({ hash })
      put("b")
      expect(KnownMetadata.isUnread(yield* known.look(path))).toBe(true)
      fs.unlinkSync(path)
      expect(yield* known.look(path)).toBeUndefined()
      expect(reads()).toBe(1)
    })
  )

  it.effect("say what makes a content the one that was accepted", () =>
    Effect.gen(function* () {
      const { known, put } = yield* world
      put("a")
      const metadata = metadataOf("a")
      expect(yield* known.read(path)).toEqual({
        hash: metadata.hash,
        size: Option.getOrUndefined(metadata.size),
        modified: Option.getOrUndefined(Metadata.dateOf(metadata)),
        expires: Option.getOrUndefined(metadata.expires)
      })
    })
  )
})
