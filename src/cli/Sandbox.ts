import { Command } from "@effect/cli"
import { Effect } from "effect"
export const sandbox = Command.make("sandbox", {}, () => Effect.void)
