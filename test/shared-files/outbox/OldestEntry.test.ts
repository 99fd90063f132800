import { describe, expect, it } from "@effect/vitest"
import { Effect, Option, TestClock } from "effect"
import * as OldestEntry from "../../../src/shared-files/outbox/OldestEntry.ts"
import { OutboxStorage } from "../../../src/shared-files/outbox/OutboxStorage.ts"
import { MemoryStorage } from "../../support/MemoryStorage.ts"

/** The version that is accepted at this time: milliseconds since 1970. */
const at = (time: number): number => time * 65_536

const withSpool = <A, E>(
  test: (
    storage: MemoryStorage,
    oldest: Effect.Effect<Option.Option<number>, unknown>,
    walked: () => number
  ) => Effect.Effect<A, E>
) => {
  const storage = new MemoryStorage()
  return Effect.gen(function* () {
    const spool = yield* (yield* OutboxStorage).open(() => Effect.void)
    let walks = 0
    const counted = {
      ...spool,
      shards: () => {
        walks++
        return spool.shards()
      }
    }
    return yield* test(storage, OldestEntry.make(counted), () => walks)
  }).pipe(Effect.scoped, Effect.provide(storage.layer))
}

describe("the entry that waits longest", () => {
  it.effect("is the oldest that waits, and none where nothing does", () =>
    withSpool((storage, oldest) =>
      Effect.gen(function* () {
        expect(yield* oldest).toEqual(Option.none())
        storage.put({ fileId: "a", version: at(3000) })
        storage.put({ fileId: "b", version: at(2000) })
        storage.put({ fileId: "c", version: at(1000), state: "refused" })
        expect(yield* oldest).toEqual(Option.some(2000))
      })
    )
  )

  it.effect("is looked for among all no more than twice a minute", () =>
    withSpool((storage, oldest, walked) =>
      Effect.gen(function* () {
        const first = storage.put({ fileId: "a", version: at(2000) })
        storage.put({ fileId: "b", version: at(3000) })
        for (let again = 0; again < 5; again++) expect(yield* oldest).toEqual(Option.some(2000))
        expect(walked()).toBe(1)
        for (const [id, { name }] of storage.kept) if (name.key === first.key) storage.kept.delete(id)
        yield* oldest
        expect(walked()).toBe(1)
        yield* TestClock.adjust("30 seconds")
        expect(yield* oldest).toEqual(Option.some(3000))
        expect(walked()).toBe(2)
      })
    )
  )
})
