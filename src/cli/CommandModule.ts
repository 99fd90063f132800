/**
 * What a command does, loaded when it is called: no command waits for the modules of the others, least of all for those of
 * the daemon. What it can be told (its options) is known from the start.
 */
import { Effect } from "effect"

/**
 * A module of this program's, which is there where the program is.
 *
 * @param load `() => import("./Name.ts")`: the module's name has to stand there as it is, so that the build can see it
 */
export const loaded = <Module>(load: () => Promise<Module>): Effect.Effect<Module> => Effect.promise(load)
