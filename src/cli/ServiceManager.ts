/**
 * Tells systemd how the daemon is, where it was started by a unit of `Type=notify`: by the command `systemd-notify`, since
 * node can't send to the socket itself. Whatever comes of it, the daemon goes on.
 */
import { execFile } from "node:child_process"
import { promisify } from "node:util"
import { Duration, Effect, Layer } from "effect"
import type { Settings } from "../config/Settings.ts"

/** The command waits until systemd has read what it says, five seconds at most. */
const patience = Duration.seconds(10)

/** Says something, such as `READY=1`; does nothing where nobody is there to be told. */
const tell = (...assignments: ReadonlyArray<string>): Effect.Effect<void> =>
  Effect.suspend(() => {
    if ((process.env.NOTIFY_SOCKET ?? "") === "") return Effect.void
    return Effect.tryPromise((signal) =>
      promisify(execFile)("systemd-notify", [...assignments], { signal, killSignal: "SIGKILL" })
    ).pipe(
      // At the beginning of a scope and at its end nothing else is.
      Effect.interruptible,
      Effect.timeout(patience),
      Effect.catchAll((error) =>
        Effect.logWarning("systemd can't be told of a change").pipe(
          Effect.annotateLogs({ said: assignments.join(" "), cause: String(error.cause ?? error.message) })
        )
      )
    )
  })

const microseconds = (duration: Duration.Duration): string =>
  String(Math.ceil(Duration.toMillis(duration) * 1000))

/** On top of what a stop takes by the settings, for what is done besides. */
const slack = Duration.seconds(15)

/** From the first moment at which connections are answered; and then that the daemon stops, and how long this may take. */
export const layer = (
  { general, remoteRun }: Pick<Settings, "general" | "remoteRun">,
  address: string
): Layer.Layer<never> =>
  Layer.scopedDiscard(
    Effect.acquireRelease(tell("READY=1", `STATUS=listening on ${address}`), () => {
      const most = Duration.sum(Duration.sum(general.shutdownGrace, remoteRun.killGrace), slack)
      return tell("STOPPING=1", "STATUS=stopping", `EXTEND_TIMEOUT_USEC=${microseconds(most)}`)
    })
  )

/** Around a reload, so that `systemctl reload` waits for its end. */
export const reloading = <A, E, R>(reload: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    const now = process.hrtime.bigint() / 1000n
    return tell("RELOADING=1", `MONOTONIC_USEC=${now}`)
  }).pipe(Effect.andThen(reload), Effect.ensuring(tell("READY=1")))
