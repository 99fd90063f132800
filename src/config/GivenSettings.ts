/** The contract's defaults with some settings given: for programs that embed a relay, and for tests. */
import { type Duration, Option, Schema } from "effect"
import { Keys } from "./Keys.ts"
import { type Settings, settle } from "./Settings.ts"
import { emptySections } from "./Sources.ts"

/** A part of it, at any depth: groups of settings may lack any of theirs, values are whole. */
export type Given<A> = A extends
  | Option.Option<unknown>
  | Duration.Duration
  | URL
  | string
  | number
  | boolean
  | ReadonlyArray<unknown>
  ? A
  : { readonly [K in keyof A]?: Given<A[K]> }

/** Some settings, at any depth. */
export type GivenSettings = Given<Settings>

const isPlain = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype

const merge = (base: unknown, given: unknown): unknown => {
  if (!isPlain(base) || !isPlain(given)) return given === undefined ? base : given
  const merged: Record<string, unknown> = { ...base }
  for (const [key, value] of Object.entries(given)) merged[key] = merge(base[key], value)
  return merged
}

/** The root server's settings, all default but for what is given. */
export const makeSettings = (given: GivenSettings = {}): Settings => {
  const keys = Schema.decodeUnknownSync(Keys)(emptySections())
  const defaults = settle(keys, { nodeId: Option.none(), level: "info" }).settings
  // The merge keeps the shape: a given value has the type of the default that it replaces.
  return merge(defaults, given) as Settings
}
