/**
 * Starts processes from a small process of its own, in perl where there is one (see `starter.pl`), and else in node (see
 * `spawner.mjs`).
 */
import { Deferred, type Duration, Effect, FiberSet, Schedule, type Scope } from "effect"
import * as AgentProgram from "./AgentProgram.ts"
import {
  Connection,
  inNode,
  inPerl,
  type SpawnEvents,
  type Spawned,
  type Starter
} from "./SpawnerConnection.ts"
import { isSayable, type SpawnRequest } from "./SpawnerProtocol.ts"
import * as Failure from "./SpawnFailure.ts"

/** Starts processes, and guards them should the relay be killed. */
export interface Spawner {
  /** Starts a program, and tells what becomes of it; not before this returns. */
  readonly spawn: (request: SpawnRequest, events: SpawnEvents) => Spawned
  /** Should the relay be killed before `release`, this agent is ended, whichever process started it. */
  readonly guard: (pid: number, cookie: string) => void
  readonly release: (pid: number) => void
  /**
   * What it was asked for is waited for: where it says nothing for five seconds, it did not start it, or is gone. While agents
   * run that are not to be ended it has its usual time.
   */
  readonly hurry: () => void
}

/**
 * A process that hangs is given up after this long, or up to twice as long where it answered when it was looked at first:
 * one that stands still, or hangs at the start of a program, on a file system that does not answer.
 */
const answerWithin = "30 seconds"

/** Looks, while there is something to hear of it, whether it answers: one fiber for all that is asked. */
const watch = (connection: Connection): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (connection.isIdle) return Effect.succeed(true)
    const asked = connection.question()
    return Effect.delay(
      Effect.sync(() => {
        const hangs = connection.isWaitedFor(asked)
        // The killed process's end is an answer to all.
        if (hangs) connection.kill(`has not answered for ${answerWithin}, and was killed`)
        return hangs
      }),
      answerWithin
    )
  }).pipe(
    Effect.repeat({ until: (over) => over }),
    Effect.ensuring(
      Effect.sync(() => {
        connection.watched = false
      })
    )
  )

/**
 * In so many steps one that is asked and says nothing at all is given up, where somebody waits for the end of an agent: a
 * stop has no 30 seconds. But not while it has other agents, the ends of which nobody would know then. Steps, since a machine
 * that stood still lets both go on at the same time.
 */
const silentSteps = 10
const silentStep = "500 millis"

/** As many, and the log says what is waited for. */
const stepsUntold = 2

const hurry = (connection: Connection): Effect.Effect<void> =>
  Effect.gen(function* () {
    let heard = connection.heard
    for (let silent = 1; silent <= silentSteps || connection.hasWanted; silent++) {
      yield* Effect.sleep(silentStep)
      if (connection.isAnswered || !connection.usable) return
      if (connection.heard !== heard) silent = 0
      heard = connection.heard
      if (silent === stepsUntold)
        yield* Effect.logWarning(
          "waiting for the process that starts agents, which does not answer: agents that it was asked for are to be ended"
        )
    }
    connection.isCutShort = true
    connection.kill("has not answered while agents were to be ended, and was killed")
  }).pipe(
    Effect.ensuring(
      Effect.sync(() => {
        connection.hurried = false
      })
    )
  )

/** Of a start that takes its time nothing is taken for a process that nobody needs yet: the first agent has it started sooner. */
const behindStart = "1 second"

/** One that ends sooner than this is not replaced before there is something to start. Milliseconds. */
const worthReplacing = 1000

const poll = Schedule.spaced("100 millis")

/** What there is to start agents with, the best first. The last one is tried again and again. */
export const starters = (): ReadonlyArray<Starter> => {
  const perl = AgentProgram.find("perl", { folder: "/", path: process.env.PATH })
  return perl === "perl" ? [inNode] : [inPerl(perl), inNode]
}

interface Parts {
  readonly killGrace: Duration.Duration
  readonly fork: (effect: Effect.Effect<void>) => void
  /** Those that have not turned out to be of no use, the best first. */
  starters: ReadonlyArray<Starter>
  current: Connection | undefined
  /** Cookies of the agents that run, by process id. */
  readonly guarded: Map<number, string>
}

/** Starts the process, unless the first agent had it started. One that can't be started now is when there is something to start. */
const ahead = (parts: Parts): Effect.Effect<void> =>
  Effect.delay(
    Effect.ignore(
      Effect.try(() => {
        if (parts.current === undefined) connect(parts)
      })
    ),
    behindStart
  )

/**
 * The process lives until the scope ends; should it end before, another takes its place.
 *
 * @param awaited whether there will be agents: it is started ahead of the first one then
 */
export const make = (
  killGrace: Duration.Duration,
  awaited: boolean,
  available: ReadonlyArray<Starter> = starters()
): Effect.Effect<Spawner, never, Scope.Scope> =>
  Effect.gen(function* () {
    let last: Parts | undefined
    // Comes behind the end of the fibers, which would have another take its place.
    yield* Effect.addFinalizer(() => last?.current?.close ?? Effect.void)
    const run = yield* FiberSet.makeRuntime<never, void>()
    const parts: Parts = {
      killGrace,
      fork: (effect) => void run(effect),
      starters: available,
      current: undefined,
      guarded: new Map()
    }
    last = parts
    if (awaited) parts.fork(ahead(parts))
    return {
      spawn: (request, events) => ask(parts, request, events),
      guard: (pid, cookie) => {
        parts.guarded.set(pid, cookie)
        parts.current?.guard(pid, cookie)
      },
      release: (pid) => {
        parts.guarded.delete(pid)
        parts.current?.release(pid)
      },
      hurry: () => {
        // Those before it are about to end.
        const { current } = parts
        if (current === undefined || current.hurried) return
        current.hurried = true
        parts.fork(hurry(current))
      }
    }
  })

/** Throws what node throws. */
const connect = (parts: Parts): Connection => {
  const [starter = inNode] = parts.starters
  const connection = new Connection(starter, parts.killGrace)
  for (const [pid, cookie] of parts.guarded) connection.guard(pid, cookie)
  parts.current = connection
  parts.fork(replaced(parts, connection))
  parts.fork(Effect.zipRight(Deferred.await(connection.ending), connection.over))
  watched(parts, connection)
  return connection
}

const watched = (parts: Parts, connection: Connection): void => {
  if (connection.watched) return
  connection.watched = true
  parts.fork(watch(connection))
}

/** Agents that go on when it has ended are guarded by the next, and waited for. */
const replaced = (parts: Parts, connection: Connection): Effect.Effect<void> =>
  Effect.gen(function* () {
    const reason = yield* Deferred.await(connection.ended)
    if (!connection.isSetUp && !connection.isCutShort && parts.starters.length > 1) {
      parts.starters = parts.starters.slice(1)
      const log = connection.hanging === undefined ? Effect.logDebug : Effect.logWarning
      yield* log(`${reason}; another program takes its place`)
    } else if (connection.hasRunning)
      yield* Effect.logWarning(`${reason}; the agents it started go on, but how they end can't be known`)
    else yield* Effect.logWarning(reason)
    if (parts.current === connection && connection.age > worthReplacing)
      yield* Effect.ignore(Effect.try(() => connect(parts)))
    yield* Effect.sync(() => connection.endThoseGone(reason)).pipe(
      Effect.repeat({ until: (none) => none, schedule: poll })
    )
  })

const never: Spawned = { exited: () => true }

const ask = (parts: Parts, request: SpawnRequest, events: SpawnEvents): Spawned => {
  try {
    const { current } = parts
    const connection = current?.usable === true ? current : connect(parts)
    if (!isSayable(request)) throw new Error("the command line has a NUL in it")
    const spawned = connection.ask(request, events)
    watched(parts, connection)
    return spawned
  } catch (cause) {
    setImmediate(() => events.failed(Failure.from(cause)))
    return never
  }
}
