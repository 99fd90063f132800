/** A run that somebody watches, and who may stop watching, or cancel it. */
import { type Duration, Effect, Fiber, Queue } from "effect"
import type { Interrupt } from "../Interrupts.ts"
import type { RelayFailure } from "../RelayProblem.ts"
import { exitCode, StartError } from "../StartError.ts"

/** What a run is watched with. */
export interface Attendance {
  readonly interrupts: Queue.Dequeue<Interrupt>
  /** The run's id, once it is known. */
  readonly run: () => string | undefined
  /** Whether all nodes have their end. */
  readonly isOver: () => boolean
  readonly cancel: (run: string) => Effect.Effect<boolean, RelayFailure>
  /** Tells who watches. */
  readonly say: (text: string) => Effect.Effect<void, StartError>
  /** What a command of this program is called with besides, to ask the same relay. */
  readonly options: string
}

/** So long a second Ctrl-C is waited for. */
const patience: Duration.DurationInput = "10 seconds"

/** A relay that can't be asked to cancel is not waited for any longer. */
const cancelWithin: Duration.DurationInput = "15 seconds"

/** What the user may do about a run that goes on. */
const advice = ({ run, options }: Attendance): string => {
  const id = run()
  return id === undefined
    ? `whether the run was started is not known yet: rudder-relay runs list${options}\n`
    : `to follow it: rudder-relay runs output ${id}${options}\nto cancel it: rudder-relay runs cancel ${id}${options}\n`
}

const left = (code: number, attendance: Attendance) =>
  Effect.zipRight(
    attendance.isOver()
      ? Effect.void
      : attendance.say(`The run goes on without this program.\n${advice(attendance)}`),
    new StartError({ code, message: "" })
  )

const cancelled = (attendance: Attendance) =>
  Effect.gen(function* () {
    const { cancel, interrupts, run, say } = attendance
    const id = run()
    if (id === undefined) return yield* left(exitCode.interrupted, attendance)
    yield* say(`cancelling run ${id} …\n`)
    const wasGoingOn = yield* cancel(id).pipe(
      Effect.timeoutFail({
        duration: cancelWithin,
        onTimeout: () =>
          new StartError({
            code: exitCode.relay,
            message: `rudder-relay: the relay did not answer; whether run ${id} is cancelled is not known`
          })
      }),
      Effect.raceFirst(Effect.flatMap(Queue.take(interrupts), () => left(exitCode.interrupted, attendance)))
    )
    yield* say(
      `run ${id} ${wasGoingOn ? "is cancelled" : "was over already"}; how its nodes ended:\nrudder-relay runs show ${id}${attendance.options}\n`
    )
    return yield* new StartError({ code: exitCode.interrupted, message: "" })
  })

/**
 * Does the work of showing a run to its end. The first Ctrl-C says that the run goes on, and how it is followed or
 * cancelled; a second one cancels it; without one the command leaves. Either ends with the code of a shell's for Ctrl-C.
 */
export const make = <E, R>(
  work: Effect.Effect<void, E, R>,
  attendance: Attendance
): Effect.Effect<void, E | StartError | RelayFailure, R> =>
  Effect.gen(function* () {
    const { interrupts, isOver, say } = attendance
    const fiber = yield* Effect.fork(work)
    const finished = Effect.as(Fiber.join(fiber), "finished" as const)
    const leave = (code: number) => Effect.zipRight(Fiber.interrupt(fiber), left(code, attendance))
    const first = yield* Effect.raceFirst(finished, Queue.take(interrupts))
    if (first === "finished") return
    if (first === "SIGTERM") return yield* leave(exitCode.terminated)
    if (isOver()) return yield* leave(exitCode.interrupted)
    yield* say(
      `The run goes on. Ctrl-C again cancels it; else this program leaves in 10 s.\n${advice(attendance)}`
    )
    const second = yield* Effect.raceFirst(
      finished,
      Effect.raceFirst(Queue.take(interrupts), Effect.as(Effect.sleep(patience), "nothing" as const))
    )
    if (second === "finished") return
    if (second !== "SIGINT")
      return yield* leave(second === "SIGTERM" ? exitCode.terminated : exitCode.interrupted)
    yield* Fiber.interrupt(fiber)
    return yield* cancelled(attendance)
  })
