/** Taking from the disk again what may change while the relay runs: on SIGHUP, and when asked over HTTP. */
import { Context, Effect, Layer, Ref } from "effect"
import { NodesList } from "../topology/NodesList.ts"

/** One thing that can be loaded again. Gives what is wrong, where it did not load. */
export interface Reloadable {
  readonly name: string
  readonly reload: Effect.Effect<void, string>
}

export interface ReloadService {
  /** Loads all again; gives one line for each that did not. What did not load stays as it was. */
  readonly reload: Effect.Effect<ReadonlyArray<string>>
  /** What the last reload found wrong. */
  readonly problems: Effect.Effect<ReadonlyArray<string>>
}

export class Reload extends Context.Tag("rudder-relay/Reload")<Reload, ReloadService>() {
  /** The nodes list, and what else the program that runs the relay names. */
  static readonly layer = (others: ReadonlyArray<Reloadable>) =>
    Layer.effect(
      Reload,
      Effect.gen(function* () {
        const nodesList = yield* NodesList
        const problems = yield* Ref.make<ReadonlyArray<string>>([])
        const nodes: Reloadable = {
          name: "nodes list",
          reload: Effect.flatMap(nodesList.reload, (status) =>
            status._tag === "Error" ? Effect.fail(status.details) : Effect.void
          )
        }
        const reload = Effect.forEach([nodes, ...others], (part) =>
          Effect.match(part.reload, {
            onSuccess: () => [],
            onFailure: (problem) => [`${part.name}: ${problem}`]
          })
        ).pipe(
          Effect.map((found) => found.flat()),
          Effect.tap((found) => Ref.set(problems, found)),
          Effect.tap((found) =>
            found.length === 0
              ? Effect.logInfo("configuration reloaded")
              : Effect.logError("configuration was not reloaded completely").pipe(
                  Effect.annotateLogs({ problems: found.join("; ") })
                )
          ),
          Effect.withSpan("Reload.reload")
        )
        return { reload, problems: Ref.get(problems) }
      })
    )
}
