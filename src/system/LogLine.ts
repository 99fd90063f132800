/** A line of the log that has its fields with it. */
import { Cause, Clock, Context, DefaultServices, Effect, FiberRef, HashMap, LogLevel } from "effect"

/**
 * Writes a line of the log, as Effect's `log` with `annotateLogs` does. In one step: to give the fields to the fiber first,
 * and to take them from it again, is more work than the line itself.
 */
export const write = (
  level: LogLevel.LogLevel,
  message: string,
  fields: Readonly<Record<string, unknown>>
): Effect.Effect<void> =>
  Effect.withFiberRuntime((fiber) => {
    if (LogLevel.greaterThan(fiber.getFiberRef(FiberRef.currentMinimumLogLevel), level)) return Effect.void
    const clock = Context.get(fiber.getFiberRef(DefaultServices.currentServices), Clock.Clock)
    const annotations = HashMap.mutate(fiber.getFiberRef(FiberRef.currentLogAnnotations), (all) => {
      for (const [name, value] of Object.entries(fields)) HashMap.set(all, name, value)
    })
    const entry = {
      fiberId: fiber.id(),
      logLevel: level,
      message: [message],
      cause: Cause.empty,
      context: fiber.getFiberRefs(),
      spans: fiber.getFiberRef(FiberRef.currentLogSpan),
      annotations,
      date: new Date(clock.unsafeCurrentTimeMillis())
    }
    for (const logger of fiber.getFiberRef(FiberRef.currentLoggers)) logger.log(entry)
    return Effect.void
  })
