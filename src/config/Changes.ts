/** Which keys of the configuration are otherwise now. */
import { type Keys, table } from "./Keys.ts"

const valueAt = (keys: Keys, path: ReadonlyArray<string>): unknown => {
  let at: unknown = keys
  for (const name of path) {
    if (typeof at !== "object" || at === null) return undefined
    at = Object.entries(at).find(([there]) => there === name)?.[1]
  }
  return at
}

/** Durations, options, URLs and lists that mean the same have the same text. */
const text = (value: unknown): string => JSON.stringify(value) ?? ""

/** The keys whose values differ, by their names in `main.conf`; `"60s"` and `"1min"` are the same value. */
export const changedKeys = (before: Keys, after: Keys): ReadonlyArray<string> =>
  table.filter(({ path }) => text(valueAt(before, path)) !== text(valueAt(after, path))).map(({ key }) => key)
