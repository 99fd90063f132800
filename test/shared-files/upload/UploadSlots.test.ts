import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, FastCheck, Fiber } from "effect"
import { NodeId } from "../../../src/NodeId.ts"
import { make, type UploadSlots } from "../../../src/shared-files/upload/UploadSlots.ts"

const from = (address: string, source = "source") => ({
  address,
  source: NodeId.make(source.replaceAll(/[^A-Za-z0-9]/g, "-"))
})

/** Takes a slot and holds it until it is interrupted; fails where there is none. */
const hold = (slots: UploadSlots, address: string, source = `source of ${address}`) =>
  Effect.gen(function* () {
    const holding = yield* Deferred.make<void>()
    const fiber = yield* Effect.fork(
      slots.take(from(address, source))(Effect.andThen(Deferred.succeed(holding, undefined), Effect.never))
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

  it.effect("counts the addresses of a network that is one machine's as one", () =>
    Effect.gen(function* () {
      const slots = make(10, 2)
      yield* hold(slots, "2001:db8:1:2::1", "A")
      yield* hold(slots, "2001:db8:1:2:ffff:ffff:ffff:ffff", "B")
      const error = yield* Effect.flip(hold(slots, "2001:db8:1:2:a::", "C"))
      expect(error.message).toContain("shared_files.max_uploads_per_address")
      yield* hold(slots, "2001:db8:1:3::1", "C")
    })
  )

  it.effect("takes no more from one source than from one address, wherever it is", () =>
    Effect.gen(function* () {
      const slots = make(10, 2)
      yield* hold(slots, "192.0.2.1", "A")
      const second = yield* hold(slots, "192.0.2.2", "A")
      const error = yield* Effect.flip(hold(slots, "192.0.2.3", "A"))
      expect(error.message).toContain("shared_files.max_uploads_per_address")
      // What was refused holds nothing of its address.
      yield* hold(slots, "192.0.2.3", "B")
      yield* hold(slots, "192.0.2.3", "C")
      yield* Fiber.interrupt(second)
      yield* hold(slots, "192.0.2.4", "A")
      // A source is not the address that it is called after.
      yield* hold(slots, "192.0.2.9", "192.0.2.1")
    })
  )

  it.effect("has a slot back when an upload fails, and does not begin one that has none", () =>
    Effect.gen(function* () {
      const slots = make(1, 1)
      for (let again = 0; again < 3; again++)
        expect(yield* Effect.flip(slots.take(from("a"))(Effect.fail("no")))).toBe("no")
      yield* hold(slots, "a")
      let began = false
      yield* Effect.flip(slots.take(from("b"))(Effect.sync(() => (began = true))))
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
