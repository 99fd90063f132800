/** A resolver whose answers a test sets. */
import { Effect, Layer } from "effect"
import { ResolveError, Resolver } from "../../src/access/Resolver.ts"

type Answer = ReadonlyArray<string> | "none" | "silence"

export class ScriptedNames {
  /** Every name asked for, in order. */
  readonly asked: Array<string> = []
  private readonly answers = new Map<string, Answer>()

  /** What a name resolves to from now on; "silence": there is no answer at all. Unset: none. */
  readonly set = (name: string, answer: Answer): Effect.Effect<void> =>
    Effect.sync(() => {
      this.answers.set(name, answer)
    })

  readonly layer = Layer.succeed(Resolver, {
    resolve: (name: string) =>
      Effect.suspend(() => {
        this.asked.push(name)
        const answer = this.answers.get(name) ?? "none"
        if (answer === "silence") return Effect.never
        return answer === "none"
          ? Effect.fail(new ResolveError({ message: "ENOTFOUND" }))
          : Effect.succeed(answer)
      })
  })
}
