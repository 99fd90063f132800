/**
 * What can be said to this program. The build has it as data (`scripts/tree.mjs`): what serves, helps or completes does not
 * load `@effect/cli` and make all of its commands for it, which would be 3 % of the daemon's start.
 */
import { program } from "./Commands.ts"
import * as CommandTree from "./CommandTree.ts"

/** All commands, with what each can be told. */
export const tree: CommandTree.CommandTree = CommandTree.of(program)
