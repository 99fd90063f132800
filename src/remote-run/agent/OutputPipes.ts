/**
 * Real pipes for the output of agents. What node makes for a child are UNIX sockets, which can't be opened by name:
 * an agent that writes to `/dev/stdout` or `/dev/stderr` would fail.
 */

import { execFile } from "node:child_process"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, type Scope } from "effect"

/** Both ends as file descriptors; who takes them closes them. */
export interface OutputPipe {
  readonly read: number
  readonly write: number
}

export interface OutputPipes {
  /** A new pipe that nobody else has; undefined where this machine makes none. */
  readonly take: Effect.Effect<OutputPipe | undefined>
}

/** How many FIFOs one `mkfifo` makes: a process for each pipe would cost as much as the agent's own start. */
const batch = 64

/** Opens both ends of a FIFO and removes its name: from then on it is a pipe without one. */
const open = (path: string): OutputPipe => {
  const read = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK)
  try {
    return { read, write: fs.openSync(path, fs.constants.O_WRONLY) }
  } catch (error) {
    fs.closeSync(read)
    throw error
  } finally {
    fs.unlinkSync(path)
  }
}

const mkfifo = (paths: ReadonlyArray<string>) =>
  Effect.async<void, Error>((resume) => {
    execFile("mkfifo", ["-m", "600", "--", ...paths], (error) =>
      resume(error === null ? Effect.void : Effect.fail(error))
    )
  })

/** The names live in a folder of their own, until the scope closes. */
export const make: Effect.Effect<OutputPipes, never, Scope.Scope> = Effect.gen(function* () {
  const folder = yield* Effect.acquireRelease(
    Effect.try(() => fs.mkdtempSync(join(tmpdir(), "rudder-relay-pipes-"))).pipe(Effect.option),
    (made) =>
      Effect.sync(() => made._tag === "Some" && fs.rmSync(made.value, { recursive: true, force: true }))
  )
  const one = yield* Effect.makeSemaphore(1)
  const ready: Array<string> = []
  let count = 0
  let broken = folder._tag === "None"

  const refill = Effect.gen(function* () {
    if (ready.length > 0 || broken || folder._tag === "None") return
    const paths = Array.from({ length: batch }, () => join(folder.value, String(++count)))
    yield* mkfifo(paths).pipe(Effect.andThen(Effect.sync(() => ready.push(...paths))))
  }).pipe(
    Effect.catchAll((error) => {
      broken = true
      return Effect.logWarning("no FIFOs here: agents can't write to /dev/stdout by name", error)
    })
  )

  const takeOne = Effect.gen(function* () {
    yield* refill
    const path = ready.pop()
    return path === undefined ? undefined : open(path)
  })
  return { take: one.withPermits(1)(Effect.uninterruptible(takeOne)) }
})
