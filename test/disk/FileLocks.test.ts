import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, FastCheck, Fiber, FiberId, Scope } from "effect"
import { type FileLocks, make, type Turn } from "../../src/disk/FileLocks.ts"

const write = (turn: Turn, written: Array<string>, text: string) =>
  turn.write(Effect.sync(() => void written.push(text)))

describe("FileLocks", () => {
  it.effect("lets one at a time be at a file, and others at others", () =>
    Effect.gen(function* () {
      const locks = make()
      const seen: Array<string> = []
      const open = yield* Deferred.make<void>()
      const enter = (name: string, who: string) =>
        Effect.andThen(
          Effect.sync(() => void seen.push(who)),
          Deferred.await(open)
        ).pipe(locks.alone(name), Effect.fork)
      const turn = yield* locks.turn("a")
      const fibers = [yield* enter("a", "first"), yield* enter("a", "second"), yield* enter("b", "other")]
      fibers.push(yield* Effect.fork(write(turn, seen, "turn")))
      yield* Effect.yieldNow()
      yield* Effect.yieldNow()
      expect(seen).toEqual(["first", "other"])
      yield* Deferred.succeed(open, undefined)
      yield* Fiber.joinAll(fibers)
      expect(seen).toEqual(["first", "other", "second", "turn"])
    }).pipe(Effect.scoped)
  )

  it.effect("are taken at once where nobody is at the file, and keep others out until they are let go", () =>
    Effect.gen(function* () {
      const locks = make()
      const seen: Array<string> = []
      const turn = yield* locks.turn("a")
      const leave = locks.take("a")
      expect(locks.take("a")).toBeUndefined()
      locks.take("b")?.()
      const writing = yield* Effect.fork(write(turn, seen, "turn"))
      yield* Effect.yieldNow()
      yield* Effect.yieldNow()
      expect(seen).toEqual([])
      leave?.()
      yield* Fiber.join(writing)
      expect(seen).toEqual(["turn"])
      locks.take("a")?.()
      expect(locks.isFree(() => "b")).toBe(true)
    }).pipe(Effect.scoped)
  )

  it.effect("lets the next in when one fails or is interrupted, also while it waits", () =>
    Effect.gen(function* () {
      const locks = make()
      yield* Effect.flip(locks.alone("a")(Effect.fail("no")))
      const holds = yield* Effect.fork(locks.alone("a")(Effect.never))
      yield* Effect.yieldNow()
      const waits = yield* Effect.fork(locks.alone("a")(Effect.never))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(waits)
      yield* Fiber.interrupt(holds)
      expect(yield* locks.alone("a")(Effect.succeed("in"))).toBe("in")
    })
  )

  /**
   * Who waits yields behind so many steps, of which so many are done before it comes to the lock; it is let in meanwhile.
   *
   * @param interruptedAt it is interrupted so many turns behind that, or before that where this is negative; 0: in the same
   */
  const handedOver = (ops: number, before: number, interruptedAt?: number) =>
    Effect.gen(function* () {
      const locks = make()
      const open = yield* Deferred.make<void>()
      let handed = () => {}
      // Right behind the release: by then the lock is the other one's, who has not run since.
      yield* locks
        .alone("a")(Deferred.await(open))
        .pipe(
          Effect.tap(() => handed()),
          Effect.fork
        )
      yield* Effect.yieldNow()
      const waits = yield* Array.from({ length: before }, () => Effect.void)
        .reduceRight((last, step) => Effect.andThen(step, last), locks.alone("a")(Effect.succeed("in")))
        .pipe(Effect.withMaxOpsBeforeYield(ops), Effect.fork)
      // By then it stands in the line, whatever it yields behind.
      if (interruptedAt !== undefined) yield* Effect.repeatN(Effect.yieldNow(), 10)
      // Stands behind it: a lock that nobody is at is forgotten, and so would be how it was left.
      const next = yield* Effect.fork(locks.alone("a")(Effect.succeed("next")))
      if (interruptedAt !== undefined) yield* Effect.repeatN(Effect.yieldNow(), 10)
      const interrupt = Effect.sync(() => waits.unsafeInterruptAsFork(FiberId.none))
      if (interruptedAt === 0) handed = () => waits.unsafeInterruptAsFork(FiberId.none)
      if (interruptedAt !== undefined && interruptedAt < 0) {
        yield* interrupt
        yield* Effect.repeatN(Effect.yieldNow(), -interruptedAt)
      }
      yield* Deferred.succeed(open, undefined)
      for (let turn = 0; turn < 50; turn++) {
        if (turn > 0 && turn === interruptedAt) yield* interrupt
        yield* Effect.yieldNow()
      }
      const isIn = waits.unsafePoll() !== null
      return {
        ops,
        before,
        isIn,
        isNextIn: next.unsafePoll() !== null,
        isFree: locks.isFree(() => "a")
      }
    })

  for (const interruptedAt of [undefined, -5, -1, 0, 1, 2, 3])
    it.effect(
      `is handed on at whatever step one yields, ${interruptedAt === undefined ? "to one who waits" : `past one who is interrupted, ${interruptedAt} turns behind`}`,
      () =>
        Effect.gen(function* () {
          for (let ops = 20; ops < 40; ops += interruptedAt === undefined ? 1 : 3)
            for (let before = 0; before < 12; before++)
              expect(yield* handedOver(ops, before, interruptedAt)).toEqual({
                ops,
                before,
                isIn: true,
                isNextIn: true,
                isFree: true
              })
        })
    )

  it.effect("drops a write of a turn that began earlier than one that was written", () =>
    Effect.gen(function* () {
      const { turn } = make()
      const written: Array<string> = []
      const [first, second, third] = [yield* turn("a"), yield* turn("a"), yield* turn("a")]
      const other = yield* turn("b")
      yield* write(second, written, "second")
      yield* write(first, written, "first")
      yield* write(other, written, "other")
      yield* write(third, written, "third")
      expect(written).toEqual(["second", "other", "third"])
    }).pipe(Effect.scoped)
  )

  it.effect("interrupts a write that waits, and none that has begun", () =>
    Effect.gen(function* () {
      const { turn } = make()
      const written: Array<string> = []
      const open = yield* Deferred.make<void>()
      const slowly = (which: Turn, text: string) =>
        which.write(
          Effect.andThen(
            Deferred.await(open),
            Effect.sync(() => void written.push(text))
          )
        )
      const [first, second] = [yield* turn("a"), yield* turn("a")]
      const begun = yield* Effect.fork(slowly(first, "first"))
      yield* Effect.yieldNow()
      const waits = yield* Effect.fork(slowly(second, "second"))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(waits)
      const interrupting = yield* Effect.fork(Fiber.interrupt(begun))
      yield* Effect.yieldNow()
      yield* Deferred.succeed(open, undefined)
      yield* Fiber.join(interrupting)
      expect(written).toEqual(["first"])
    }).pipe(Effect.scoped)
  )

  it.effect("does not count a write that failed", () =>
    Effect.gen(function* () {
      const { turn } = make()
      const written: Array<string> = []
      const [first, second] = [yield* turn("a"), yield* turn("a")]
      yield* Effect.flip(second.write(Effect.fail("no")))
      yield* write(first, written, "first")
      expect(written).toEqual(["first"])
    }).pipe(Effect.scoped)
  )

  it.effect("lets whatever is written meanwhile win over a turn of the past", () =>
    Effect.gen(function* () {
      const locks = make()
      const written: Array<string> = []
      const began = yield* locks.turn("a")
      const [past, other] = [yield* locks.pastTurn("a"), yield* locks.pastTurn("b")]
      yield* write(began, written, "began before")
      yield* write(past, written, "past")
      yield* write(other, written, "other")
      expect(written).toEqual(["began before", "other"])
      const later = yield* locks.pastTurn("a")
      yield* write(later, written, "later past")
      const last = yield* locks.turn("a")
      yield* write(last, written, "last")
      expect(written).toEqual(["began before", "other", "later past", "last"])
    }).pipe(Effect.scoped)
  )

  /** Begins turns and writes them in some order: which of them were written. */
  const inOrder = (locks: FileLocks, order: ReadonlyArray<number>) =>
    Effect.gen(function* () {
      const written: Array<number> = []
      const turns = yield* Effect.forEach(
        order.toSorted((one, other) => one - other),
        (number) => Effect.map(locks.turn("a"), (turn) => ({ number, turn }))
      )
      for (const next of order) {
        const found = turns.find(({ number }) => number === next)
        if (found !== undefined) yield* found.turn.write(Effect.sync(() => void written.push(next)))
      }
      return written
    }).pipe(Effect.scoped)

  it.effect.prop(
    "writes ever later turns, and the last of them, in whatever order they are ready",
    [FastCheck.uniqueArray(FastCheck.nat(20), { minLength: 1, maxLength: 12 })],
    ([order]) =>
      Effect.gen(function* () {
        const written = yield* inOrder(make(), order)
        expect(written).toEqual(written.toSorted((one, other) => one - other))
        expect(written.at(-1)).toBe(Math.max(...order))
      })
  )

  it.effect("begins anew with a file that nobody was at", () =>
    Effect.gen(function* () {
      const locks = make()
      for (let again = 0; again < 2; again++) {
        const scope = yield* Scope.make()
        const turn = yield* Scope.extend(locks.turn("a"), scope)
        const written: Array<string> = []
        yield* write(turn, written, "again")
        expect(written).toEqual(["again"])
        yield* Scope.close(scope, yield* Effect.exit(Effect.void))
      }
    })
  )
})
