/** Layers on one another. */
import { describe, expect, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import * as Stacked from "../src/Stacked.ts"

class Ground extends Context.Tag("Ground")<Ground, string>() {}
class House extends Context.Tag("House")<House, string>() {}
class Shed extends Context.Tag("Shed")<Shed, string>() {}

/** Layers that note when they are made and unmade. */
const noting = () => {
  const notes: Array<string> = []
  const noted = (name: string) =>
    Effect.acquireRelease(
      Effect.sync(() => {
        notes.push(`+${name}`)
        return name
      }),
      () => Effect.sync(() => notes.push(`-${name}`))
    )
  const on = (name: string) =>
    Effect.flatMap(Ground, (ground) => Effect.map(noted(name), () => `${name} on ${ground}`))
  return {
    notes,
    noted,
    ground: Layer.scoped(Ground, noted("ground")),
    house: Layer.scoped(House, on("house")),
    shed: Layer.scoped(Shed, on("shed"))
  }
}

const both = Effect.all([House, Shed])
const all = Effect.all([Ground, House, Shed])

describe("layers on one another", () => {
  it.effect("share what is below, which is made once, and unmade after them", () =>
    Effect.gen(function* () {
      const { ground, house, notes, shed } = noting()
      const onGround = Layer.mergeAll(house.pipe(Stacked.provide(ground)), shed.pipe(Stacked.provide(ground)))
      expect(yield* Effect.provide(both, onGround)).toEqual(["house on ground", "shed on ground"])
      expect(notes.slice(0, 3)).toEqual(["+ground", "+house", "+shed"])
      expect(notes).toHaveLength(6)
      expect(notes.at(-1)).toBe("-ground")
    })
  )

  it.effect("are made from below and unmade from above, as by Effect's own", () =>
    Effect.gen(function* () {
      const ours = noting()
      const stack = ours.house.pipe(Stacked.provideMerge(ours.shed), Stacked.provideMerge(ours.ground))
      expect(yield* Effect.provide(all, stack)).toEqual(["ground", "house on ground", "shed on ground"])
      const others = noting()
      const other = others.house.pipe(Layer.provideMerge(others.shed), Layer.provideMerge(others.ground))
      yield* Effect.provide(all, other)
      expect(ours.notes).toEqual(["+ground", "+shed", "+house", "-house", "-shed", "-ground"])
      expect(ours.notes).toEqual(others.notes)
    })
  )

  it.effect("give what is above where both have it", () =>
    Effect.gen(function* () {
      const stack = Layer.succeed(House, "above").pipe(Stacked.provideMerge(Layer.succeed(House, "below")))
      expect(yield* Effect.provide(House, stack)).toBe("above")
    })
  )
})

describe("what may be given", () => {
  it.effect("is what is given, and else made, for each anew", () =>
    Effect.gen(function* () {
      const { noted, notes } = noting()
      const live = () => Stacked.together(Stacked.orGiven(Ground, noted("ground")))
      const given = live().pipe(Layer.provide(Layer.succeed(Ground, "given")))
      expect(yield* Effect.provide(Ground, given)).toBe("given")
      expect(notes).toEqual([])
      const two = Layer.merge(live(), live())
      expect(yield* Effect.provide(Ground, two)).toBe("ground")
      expect(notes).toEqual(["+ground", "+ground", "-ground", "-ground"])
    })
  )
})

describe("parts beside one another", () => {
  /** Each is made in two steps, between which it waits. */
  const parts = () => {
    const { noted, notes } = noting()
    const slow = (name: string) => Effect.zipRight(noted(`${name}'s ground`), Effect.delay(noted(name), 1))
    const of = (beside: typeof Stacked.together) =>
      beside(Stacked.orGiven(House, slow("house")), Stacked.orGiven(Shed, slow("shed")))
    return { notes, of }
  }

  it.live("are made at the same time, or in turn", () =>
    Effect.gen(function* () {
      const [together, inTurn] = [parts(), parts()]
      expect(yield* Effect.provide(both, together.of(Stacked.together))).toEqual(["house", "shed"])
      expect(together.notes.slice(0, 4)).toEqual(["+house's ground", "+shed's ground", "+house", "+shed"])
      expect(yield* Effect.provide(both, inTurn.of(Stacked.inTurn))).toEqual(["house", "shed"])
      expect(inTurn.notes.slice(0, 4)).toEqual(["+house's ground", "+house", "+shed's ground", "+shed"])
    })
  )

  it.live("are unmade at the same time: none waits for another's end", () =>
    Effect.gen(function* () {
      for (const beside of [Stacked.together, Stacked.inTurn]) {
        const ended = yield* Effect.makeLatch()
        const waiting = Effect.acquireRelease(Effect.succeed("house"), () => ended.await)
        const ending = Effect.acquireRelease(Effect.succeed("shed"), () => ended.open)
        const forwards = beside(Stacked.orGiven(House, waiting), Stacked.orGiven(Shed, ending))
        yield* ended.close
        yield* Effect.provide(both, forwards)
        const backwards = beside(Stacked.orGiven(Shed, ending), Stacked.orGiven(House, waiting))
        yield* ended.close
        yield* Effect.provide(both, backwards)
      }
    })
  )

  it.live("are unmade where one of them can't be made", () =>
    Effect.gen(function* () {
      for (const beside of [Stacked.together, Stacked.inTurn]) {
        const { noted, notes } = noting()
        const failing = Effect.zipRight(Effect.sleep(1), Effect.fail("no room"))
        const stack = beside(Stacked.orGiven(House, noted("house")), Stacked.orGiven(Shed, failing))
        expect(yield* Effect.flip(Effect.provide(both, stack))).toBe("no room")
        expect(notes).toEqual(["+house", "-house"])
      }
    })
  )
})
