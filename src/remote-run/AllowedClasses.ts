/** Which classes a run may define: those that `remote_run.allowed_classes` has. */
import { Either, Option } from "effect"
import type { Settings } from "../config/Settings.ts"
import type { InvalidRequest } from "../RelayError.ts"
import { invalid, quoted } from "./Parameter.ts"

/**
 * Whether a name is one that the pattern means, where `*` stands for any text. Each piece between two `*` is looked for
 * once, as early as it can be: no name takes long, whatever the pattern.
 */
const isMeant = (name: string, pattern: string): boolean => {
  const [first = "", ...others] = pattern.split("*")
  const last = others.pop()
  if (last === undefined) return name === first
  if (!name.startsWith(first)) return false
  let at = first.length
  for (const piece of others) {
    const found = name.indexOf(piece, at)
    if (found === -1) return false
    at = found + piece.length
  }
  return name.length - last.length >= at && name.endsWith(last)
}

/**
 * Succeeds where each of the classes matches one of the names that are allowed (none: all are). To be asked for every run
 * that is ordered, also where the classes are those of an earlier run.
 *
 * @param parameter under which name they were given
 */
export const check = (
  allowed: Settings["remoteRun"]["allowedClasses"],
  classes: ReadonlyArray<string>,
  parameter = "classes"
): Either.Either<void, InvalidRequest> => {
  if (Option.isNone(allowed)) return Either.void
  const refused = classes.find((name) => !allowed.value.some((pattern) => isMeant(name, pattern)))
  return refused === undefined
    ? Either.void
    : Either.left(
        invalid(parameter, `expected classes that remote_run.allowed_classes has, got ${quoted(refused)}`)
      )
}
