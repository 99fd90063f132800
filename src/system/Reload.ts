/** Taking from the disk again what may change while the relay runs: on SIGHUP, and when asked over HTTP. */
import { Context, Effect, Layer, Ref } from "effect"
import { NodesList } from "../topology/NodesList.ts"

/** Why something did not load: any tagged error, whose message says what is wrong. */
export interface ReloadProblem {
  readonly _tag: string
  readonly message: string
}

/** One thing that can be loaded again. */
export interface Reloadable {
  /** As a person knows it: what is wrong is told behind it. */
  readonly name: string
  /** Loads it. Where that fails, what was loaded before stays in force. */
  readonly reload: Effect.Effect<void, ReloadProblem>
  /** Keys of the configuration that have changed since the start and wait for a restart, as far as the last reload saw. */
  readonly waiting?: Effect.Effect<ReadonlyArray<string>>
}

/** Loads again what may change while the relay runs. */
export interface ReloadService {
  /** Loads all again; gives one line for each that did not. What did not load stays as it was. */
  readonly reload: Effect.Effect<ReadonlyArray<string>>
  /** What the last reload found wrong, but for the nodes list, which is loaded again by itself and has a status of its own. */
  readonly problems: Effect.Effect<ReadonlyArray<string>>
  /** Keys of the configuration that have changed, as the last reload saw, and wait for a restart. */
  readonly waiting: Effect.Effect<ReadonlyArray<string>>
}

/** What `system/reload` and SIGHUP ask for. */
export class Reload extends Context.Tag("rudder-relay/Reload")<Reload, ReloadService>() {
  /** The nodes list, and what else the program that runs the relay names. */
  static readonly layer = (others: ReadonlyArray<Reloadable>) =>
    Layer.effect(
      Reload,
      Effect.gen(function* () {
        const nodesList = yield* NodesList
        const problems = yield* Ref.make<ReadonlyArray<string>>([])
        const loadNodes = Effect.map(nodesList.reload, (status) =>
          status._tag === "Error" ? [`nodes list: ${status.details}`] : []
        )
        const load = (part: Reloadable) =>
          Effect.match(part.reload, {
            onSuccess: () => [],
            onFailure: ({ message }) => [`${part.name}: ${message}`]
          })
        const waiting = Effect.map(
          Effect.forEach(others, (part) => part.waiting ?? Effect.succeed([])),
          (keys) => keys.flat()
        )
        const reload = Effect.gen(function* () {
          const wrongNodes = yield* loadNodes
          const wrong = (yield* Effect.forEach(others, load)).flat()
          yield* Ref.set(problems, wrong)
          const found = [...wrongNodes, ...wrong]
          if (found.length === 0) yield* Effect.logInfo("configuration reloaded")
          else
            yield* Effect.logError("configuration was not reloaded completely").pipe(
              Effect.annotateLogs({ problems: found.join("; ") })
            )
          const keys = yield* waiting
          if (keys.length > 0)
            yield* Effect.logWarning("keys of main.conf have changed and wait for a restart").pipe(
              Effect.annotateLogs({ keys: keys.join(" ") })
            )
          return found
        }).pipe(Effect.withSpan("Reload.reload"))
        return { reload, problems: Ref.get(problems), waiting }
      })
    )
}
