/** What is held for a request, and the plain scope that holds what every upload has. */
import { describe, expect, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Option, Scope } from "effect"
import * as Acquired from "../src/Acquired.ts"

/** In a plain scope; gives what was released, in its order, with the end of the scope. */
const inPlainScope = (
  use: (note: (name: string) => void) => Effect.Effect<unknown, never, Scope.Scope>
): Effect.Effect<readonly [ReadonlyArray<string>, Exit.Exit<void>]> =>
  Effect.gen(function* () {
    const released: Array<string> = []
    const scope = new Acquired.PlainScope()
    yield* Effect.provideService(
      use((name) => void released.push(name)),
      Scope.Scope,
      scope
    )
    expect(released).toEqual([])
    return [released, yield* Effect.exit(scope.end(Exit.void))] as const
  })

describe("a plain scope", () => {
  it.effect(
    "releases what was acquired last first, plain releases, effects and Effect's own finalizers alike",
    () =>
      Effect.gen(function* () {
        const [released, end] = yield* inPlainScope((note) =>
          Effect.gen(function* () {
            yield* Acquired.acquireWith(() => ({ made: 1, release: () => note("plain") }))
            yield* Acquired.acquire(
              () => 2,
              (made) => Effect.sync(() => note(`effect ${made}`))
            )
            yield* Effect.addFinalizer((exit) => Effect.sync(() => note(`finalizer ${exit._tag}`)))
          })
        )
        expect(released).toEqual(["finalizer Success", "effect 2", "plain"])
        expect(end).toEqual(Exit.void)
      })
  )

  it.effect("releases the rest where a release fails, and says what failed", () =>
    Effect.gen(function* () {
      const [released, end] = yield* inPlainScope((note) =>
        Effect.gen(function* () {
          yield* Acquired.acquireWith(() => ({ made: 1, release: () => note("first") }))
          yield* Acquired.acquireWith(() => ({
            made: 2,
            release: () => {
              throw new Error("thrown")
            }
          }))
          yield* Acquired.acquire(
            () => 3,
            () => Effect.die(new Error("died"))
          )
        })
      )
      expect(released).toEqual(["first"])
      const said = Exit.match(end, { onSuccess: () => "", onFailure: Cause.pretty })
      expect(said).toContain("thrown")
      expect(said).toContain("died")
    })
  )

  it.effect(
    "ends the scopes within it, and releases at once what is added behind its end, and nothing twice",
    () =>
      Effect.gen(function* () {
        const released: Array<string> = []
        const note = (name: string) => Effect.sync(() => released.push(name))
        const scope = new Acquired.PlainScope()
        const child = yield* Scope.fork(scope, scope.strategy)
        yield* Scope.addFinalizer(child, note("child"))
        yield* scope.end(Exit.void)
        expect(released).toEqual(["child"])
        yield* Scope.addFinalizer(scope, note("late"))
        yield* Effect.provideService(
          Acquired.acquire(
            () => "made late",
            (made) => note(made)
          ),
          Scope.Scope,
          scope
        )
        expect(released).toEqual(["child", "late", "made late"])
        yield* scope.end(Exit.void)
        expect(released).toEqual(["child", "late", "made late"])
      })
  )

  it.effect("is nobody else's, however many there are", () =>
    Effect.gen(function* () {
      const words: Array<string> = []
      const note = (word: string) => Effect.sync(() => words.push(word))
      const scopes = Array.from({ length: 200 }, () => new Acquired.PlainScope())
      for (const [at, scope] of scopes.entries()) {
        yield* Scope.addFinalizer(scope, note(`first of ${at}`))
        yield* Scope.addFinalizerExit(scope, ({ _tag }) => note(`${_tag} of ${at}`))
      }
      for (const at of [150, 0]) {
        words.length = 0
        yield* scopes[at]?.end(Exit.fail("why")) ?? Effect.void
        yield* scopes[at]?.end(Exit.void) ?? Effect.void
        expect(words).toEqual([`Failure of ${at}`, `first of ${at}`])
      }
    })
  )
})

describe("an effect in a plain scope of its own", () => {
  /** What it acquires is noted when it is let go, and who is told of the end notes that. */
  const noted = () => {
    const words: Array<string> = []
    const acquired = Acquired.acquire(
      () => "made",
      () => Effect.sync(() => words.push("released"))
    )
    return { words, acquired, left: () => void words.push("left") }
  }

  it.effect("has let go of all that it acquired before it is left, however it ends", () =>
    Effect.gen(function* () {
      const { words, acquired, left } = noted()
      const ended = [
        yield* Effect.exit(Acquired.scoped(acquired, left)),
        yield* Effect.exit(Acquired.scoped(Effect.zipRight(acquired, Effect.fail("why")), left)),
        yield* Effect.exit(Acquired.scoped(Effect.zipRight(acquired, Effect.die("why")), left))
      ]
      expect(ended).toEqual([Exit.succeed("made"), Exit.fail("why"), Exit.die("why")])
      expect(words).toEqual(["released", "left", "released", "left", "released", "left"])
      const fiber = yield* Effect.fork(
        Effect.uninterruptibleMask((restore) =>
          Acquired.scoped(restore(Effect.zipRight(acquired, Effect.never)), left)
        )
      )
      yield* Effect.yieldNow()
      expect(Exit.isInterrupted(yield* Fiber.interrupt(fiber))).toBe(true)
      expect(words.slice(6)).toEqual(["released", "left"])
    })
  )

  it.effect("leaves the scope around it as that was, for what comes behind it", () =>
    Effect.gen(function* () {
      const around = yield* Scope.make()
      const { words, acquired, left } = noted()
      const behind = yield* Effect.provideService(
        Effect.gen(function* () {
          const within = yield* Acquired.scoped(Effect.serviceOption(Scope.Scope), left)
          expect(Option.contains(within, around)).toBe(false)
          yield* Effect.ignore(Acquired.scoped(Effect.fail("why"), left))
          yield* acquired
          return yield* Effect.serviceOption(Scope.Scope)
        }),
        Scope.Scope,
        around
      )
      expect(Option.getOrUndefined(behind)).toBe(around)
      expect(words).toEqual(["left", "left"])
      yield* Scope.close(around, Exit.void)
      expect(words).toEqual(["left", "left", "released"])
    })
  )

  it.effect("ends with what releases it as with its own end, and is left all the same", () =>
    Effect.gen(function* () {
      const { words, left } = noted()
      const badly = Acquired.acquireWith(() => ({ made: 1, release: () => Effect.die("not released") }))
      const ended = yield* Effect.exit(Acquired.scoped(badly, left))
      expect(Exit.isFailure(ended) && Cause.squash(ended.cause)).toBe("not released")
      expect(words).toEqual(["left"])
    })
  )

  it.effect(
    "lets go of what it acquired in a plain scope around it, by its own end, and of nothing else",
    () =>
      Effect.gen(function* () {
        const words: Array<string> = []
        const note = (word: string) => Effect.sync(() => void words.push(word))
        const around = new Acquired.PlainScope()
        const acquired = (name: string) =>
          Acquired.acquire(
            () => name,
            () => note(`${name} released`)
          )
        const uploads = Effect.gen(function* () {
          yield* acquired("around")
          for (const end of [Effect.void, Effect.fail("why")]) {
            const held = Effect.gen(function* () {
              yield* acquired("within")
              yield* Effect.addFinalizer(({ _tag }) => note(`finalizer ${_tag}`))
              yield* Acquired.scoped(acquired("inmost"), () => void words.push("inmost left"))
              yield* end
            })
            yield* Effect.exit(Acquired.scoped(held, () => void words.push("left")))
            yield* note("behind")
          }
        })
        yield* Effect.provideService(uploads, Scope.Scope, around)
        const once = ["within released", "left", "behind"]
        expect(words).toEqual([
          ...["inmost released", "inmost left", "finalizer Success", ...once],
          ...["inmost released", "inmost left", "finalizer Failure", ...once]
        ])
        yield* around.end(Exit.void)
        expect(words.at(-1)).toBe("around released")
      })
  )

  it.effect("releases at once what is added to its scope behind its end", () =>
    Effect.gen(function* () {
      const words: Array<string> = []
      const { scope } = yield* Acquired.scoped(
        Effect.map(Effect.scope, (scope) => ({ scope })),
        () => void words.push("left")
      )
      yield* Scope.addFinalizer(
        scope,
        Effect.sync(() => words.push("late"))
      )
      expect(words).toEqual(["left", "late"])
    })
  )
})
