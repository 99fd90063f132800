/** A journal in a folder of its own, for tests. */
import { FileSystem } from "@effect/platform"
import { Effect, type Scope } from "effect"
import { JournalRoom } from "../../src/remote-run/journal/JournalRoom.ts"
import { RunJournal } from "../../src/remote-run/journal/RunJournal.ts"

export const makeJournal = (
  maxSize = Number.MAX_SAFE_INTEGER
): Effect.Effect<RunJournal, never, FileSystem.FileSystem | Scope.Scope> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const directory = yield* Effect.orDie(fs.makeTempDirectoryScoped({ prefix: "rudder-relay-journal-" }))
    return new RunJournal({
      fs,
      room: new JournalRoom(maxSize),
      fork: (effect) => void Effect.runFork(effect),
      path: `${directory}/run.open`,
      finalPath: `${directory}/run.run`
    })
  })
