/** Spans that are made only where spans are taken. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Option } from "effect"
import * as Span from "../src/Span.ts"

/** The name and attributes of the span that something is done in; none: it is in none. */
const around = Effect.map(Effect.option(Effect.currentSpan), (span) =>
  Option.map(span, ({ name, attributes }) => [name, Object.fromEntries(attributes)])
)

describe("what is done in a span where spans are taken", () => {
  const asked: Array<string> = []
  const attributes = (name: string) => () => {
    asked.push(name)
    return { at: name }
  }
  const ways: ReadonlyArray<readonly [string, Effect.Effect<Effect.Effect.Success<typeof around>>]> = [
    ["within", Span.within("within", attributes("within"))(around)],
    ["around", Span.around("around")(around, attributes("around"))],
    ["begun", Span.begun("begun", () => around, attributes("begun"))]
  ]

  for (const [name, way] of ways)
    it.effect(`has the span's name and attributes, and is the thing itself where none are: ${name}`, () =>
      Effect.gen(function* () {
        asked.length = 0
        expect(yield* Effect.withTracerEnabled(way, false)).toEqual(Option.none())
        expect(asked).toEqual([])
        expect(yield* Effect.withTracerEnabled(way, true)).toEqual(Option.some([name, { at: name }]))
        expect(asked).toEqual([name])
      })
    )

  it.effect("is made by the fiber that does it, in its span", () =>
    Effect.gen(function* () {
      const id = yield* Effect.fiberId
      const dies = Span.begun(
        "begun",
        () => Effect.fail("why"),
        () => ({})
      )
      for (const isTraced of [false, true]) {
        const made = Span.begun(
          "begun",
          (fiber) => Effect.succeed([fiber.id(), fiber.currentSpan !== undefined]),
          () => ({})
        )
        expect(yield* Effect.withTracerEnabled(made, isTraced)).toEqual([id, isTraced])
        expect(yield* Effect.exit(Effect.withTracerEnabled(dies, isTraced))).toEqual(Exit.fail("why"))
      }
    })
  )
})
