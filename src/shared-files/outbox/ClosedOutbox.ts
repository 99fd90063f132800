/** The outbox of the root server, which has nobody to send files to. */
import { Effect, Option } from "effect"
import type { Turn } from "../../disk/FileLocks.ts"
import { StorageError } from "../../RelayError.ts"
import type { OutboxPage } from "./OutboxEntry.ts"
import type { Amounts } from "./Spool.ts"

const refuse = new StorageError({ message: "there is no outbox on the root server" })

const turn: Turn = { began: 0, write: (effect) => effect }

const empty: OutboxPage = { entries: [], next: null }

const nothing: Amounts = { waiting: { entries: 0, bytes: 0 }, refused: { entries: 0, bytes: 0 } }

/** An outbox that takes nothing, and has nothing. */
export const closed = {
  turn: () => Effect.succeed(turn),
  checkRefused: () => refuse,
  checkRoom: () => refuse,
  begin: refuse,
  commit: () => refuse,
  has: () => refuse,
  list: () => Effect.succeed(empty),
  retry: Effect.succeed(0),
  remove: () => Effect.succeed(false),
  status: Effect.succeed({
    problem: Option.none<string>(),
    upstream: Option.none<string>(),
    answered: Option.none<number>(),
    oldest: Option.none<number>(),
    ...nothing
  })
}
