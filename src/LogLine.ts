/** A line of the log that has its fields with it. */
import {
  Cause,
  Clock,
  Context,
  DefaultServices,
  Effect,
  type Fiber,
  type FiberId,
  FiberRef,
  HashMap,
  List,
  Logger,
  LogLevel,
  Tracer
} from "effect"

/** What a line says, who says it, and when. */
export interface Line {
  readonly level: LogLevel.LogLevel
  readonly message: string
  readonly fields: Readonly<Record<string, unknown>>
  readonly fiberId: FiberId.Runtime
  readonly date: Date
}

/** Takes a line as it is; false: it is not taken, and wanted as an entry of Effect's log. */
export type Take = (line: Line) => boolean

const takes = new WeakMap<Logger.Logger<unknown, unknown>, Take>()

/** Has a logger given lines as they are, where nothing else is in their entries: to make one is more work than its text. */
export const takenBy = <A>(logger: Logger.Logger<unknown, A>, take: Take): Logger.Logger<unknown, A> => {
  takes.set(logger, take)
  return logger
}

/** The entry that Effect's own log would make of it. */
const entryOf = (
  fiber: Fiber.RuntimeFiber<unknown, unknown>,
  line: Line
): Logger.Logger.Options<unknown> => ({
  fiberId: line.fiberId,
  logLevel: line.level,
  message: [line.message],
  cause: Cause.empty,
  context: fiber.getFiberRefs(),
  spans: fiber.getFiberRef(FiberRef.currentLogSpan),
  annotations: HashMap.mutate(fiber.getFiberRef(FiberRef.currentLogAnnotations), (all) => {
    for (const [name, value] of Object.entries(line.fields)) HashMap.set(all, name, value)
  }),
  date: line.date
})

/** Whether its own fields are all that is in a line of this fiber's. */
const isPlain = (fiber: Fiber.RuntimeFiber<unknown, unknown>): boolean =>
  HashMap.isEmpty(fiber.getFiberRef(FiberRef.currentLogAnnotations)) &&
  List.isNil(fiber.getFiberRef(FiberRef.currentLogSpan))

/** Whether a logger has nothing to do: Effect's own for tracing writes to the span that there is. */
const isIdle = (
  logger: Logger.Logger<unknown, unknown>,
  { currentContext }: Fiber.RuntimeFiber<unknown, unknown>
) => logger === Logger.tracerLogger && !currentContext.unsafeMap.has(Tracer.ParentSpan.key)

/**
 * Writes a line of the log, as Effect's `log` with `annotateLogs` does. In one step: to give the fields to the fiber first,
 * and to take them from it again, is more work than the line itself, and a tenth of the event loop's for an upload into the
 * outbox.
 */
export const write = (
  level: LogLevel.LogLevel,
  message: string,
  fields: Readonly<Record<string, unknown>>
): Effect.Effect<void> =>
  Effect.withFiberRuntime((fiber) => {
    if (LogLevel.greaterThan(fiber.getFiberRef(FiberRef.currentMinimumLogLevel), level)) return Effect.void
    const clock = Context.get(fiber.getFiberRef(DefaultServices.currentServices), Clock.Clock)
    const date = new Date(clock.unsafeCurrentTimeMillis())
    const line: Line = { level, message, fields, fiberId: fiber.id(), date }
    const plain = isPlain(fiber)
    let entry: Logger.Logger.Options<unknown> | undefined
    for (const logger of fiber.getFiberRef(FiberRef.currentLoggers)) {
      if (isIdle(logger, fiber) || (plain && takes.get(logger)?.(line) === true)) continue
      entry ??= entryOf(fiber, line)
      logger.log(entry)
    }
    return Effect.void
  })
