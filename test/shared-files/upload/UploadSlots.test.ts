import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, FastCheck, Fiber } from "effect"
import { make, type UploadSlots } from "../../../src/shared-files/upload/UploadSlots.ts"

/** Takes a slot and holds it until it is interrupted; fails where there is none. */
const hold = (slots: UploadSlots, address: string) =>
  Effect.gen(function* () {
    const holding = yield* Deferred.make<void>()
    const fiber = yield* Effect.fork(
      slots.take(address)(Effect.andThen(Deferred.succeed(holding, undefined), Effect.never))
    )
    yield* Effect.raceFirst(Deferred.await(holding), Fiber.join(fiber))
    return fiber
  })

describe("UploadSlots", () => {
  it.effect("takes so many uploads from one address, and so many in all", () =>
    Effect.gen(function* () {
      const slots = make(3, 2)
      yield* hold(slots, "a")
      const second = yield* hold(slots, "a")
      const error = yield* Effect.flip(hold(slots, "a"))
      expect(error).toMatchObject({ _tag: "TooBusy", retryAfterSeconds: 5 })
      expect(error.message).toContain("shared_files.max_uploads_per_address")
      yield* hold(slots, "b")
      expect((yield* Effect.flip(hold(slots, "c"))).message).toContain("(shared_files.max_uploads)")
      yield* Fiber.interrupt(second)
      yield* hold(slots, "c")
    })
  )

  it.effect("has a slot back when an upload fails, and does not begin one that has none", () =>
    Effect.gen(function* () {
      const slots = make(1, 1)
      for (let again = 0; again < 3; again++)
        expect(yield* Effect.flip(slots.take("a")(Effect.fail("no")))).toBe("no")
      yield* hold(slots, "a")
      let began = false
      yield* Effect.flip(slots.take("b")(Effect.sync(() => (began = true))))
      expect(began).toBe(false)
    })
  )

  const action = FastCheck.record({
    address: FastCheck.constantFrom("a", "b", "c"),
    leaves: FastCheck.boolean()
  })

  it.effect.prop(
    "never has more than it may, and refuses none that it could take",
    [FastCheck.array(action), FastCheck.integer({ min: 1, max: 5 }), FastCheck.integer({ min: 1, max: 3 })],
    ([actions, most, mostPerAddress]) =>
      Effect.gen(function* () {
        const slots = make(most, mostPerAddress)
        const held: Array<{ readonly address: string; readonly fiber: Fiber.Fiber<unknown, unknown> }> = []
        for (const { address, leaves } of actions) {
          const mine = held.filter((one) => one.address === address)
          const [first] = mine
          if (leaves && first !== undefined) {
            yield* Fiber.interrupt(first.fiber)
            held.splice(held.indexOf(first), 1)
            continue
          }
          const taken = yield* Effect.either(hold(slots, address))
          expect(taken._tag).toBe(held.length < most && mine.length < mostPerAddress ? "Right" : "Left")
          if (taken._tag === "Right") held.push({ address, fiber: taken.right })
        }
      })
  )
})
