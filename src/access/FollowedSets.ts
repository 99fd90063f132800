/** Address sets that follow the host names in them: looked up at the start, and again every minute. */
import { Deferred, Duration, Effect, Option, Record, Schedule, type Scope } from "effect"
import * as AccessEntry from "../config/AccessEntry.ts"
import * as AddressSet from "./AddressSet.ts"
import { ResolveError, Resolver } from "./Resolver.ts"

const interval = Duration.minutes(1)
const answerWait = Duration.seconds(10)
/** A resolver that hangs delays the start by this much, and does not prevent it. */
const startWait = Duration.seconds(2)
const concurrency = 4

/** The set of a rule, with the addresses that its names have now. */
export type FollowedSets<Key extends string> = (key: Key) => AddressSet.AddressSet

const tagOf = (entry: string) => Option.getOrUndefined(AccessEntry.parse(entry))?._tag

const resolve = (name: string) =>
  Effect.gen(function* () {
    const { resolve } = yield* Resolver
    const addresses = yield* resolve(name).pipe(
      Effect.timeoutFail({
        duration: answerWait,
        onTimeout: () => new ResolveError({ message: `no answer in ${Duration.format(answerWait)}` })
      })
    )
    return addresses.length > 0 ? addresses : yield* new ResolveError({ message: "it has no address" })
  })

/** Looks a name up. One that fails keeps the addresses that it had; the log says when that begins, and when it ends. */
const makeLookUp = (found: Map<string, ReadonlyArray<string>>) => {
  const failing = new Set<string>()
  return (name: string): Effect.Effect<void> =>
    resolve(name).pipe(
      Effect.matchEffect({
        onSuccess: (addresses) => {
          found.set(name, addresses)
          return failing.delete(name)
            ? Effect.logInfo("a host name of the access rules resolves again")
            : Effect.void
        },
        onFailure: ({ message }) => {
          if (failing.has(name)) return Effect.void
          failing.add(name)
          return Effect.logWarning("a host name of the access rules does not resolve").pipe(
            Effect.annotateLogs({ error: message, keeps: (found.get(name) ?? []).join(" ") })
          )
        }
      }),
      Effect.annotateLogs({ name })
    )
}

/**
 * Sets of these rules' entries. They follow their names as long as the scope is open; a name is in a set once it has been
 * resolved. An entry that is neither address, CIDR nor name is left out with a warning (the configuration has refused it
 * before).
 */
export const make = <Key extends string>(
  rules: Readonly<Record<Key, ReadonlyArray<string>>>
): Effect.Effect<FollowedSets<Key>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const entries = [...new Set(Object.values<ReadonlyArray<string>>(rules).flat())]
    const unusable = entries.filter((entry) => tagOf(entry) === undefined)
    if (unusable.length > 0)
      yield* Effect.logWarning("entries of the access rules are neither address, CIDR nor host name").pipe(
        Effect.annotateLogs({ entries: unusable.join(" ") })
      )
    const found = new Map<string, ReadonlyArray<string>>()
    const build = () =>
      Record.map(rules, (rule: ReadonlyArray<string>) =>
        AddressSet.make(rule.flatMap((entry) => found.get(entry) ?? [entry]))
      )
    let sets = build()
    const names = entries.filter((entry) => tagOf(entry) === "Name")
    if (names.length > 0) {
      const lookUp = makeLookUp(found)
      const first = yield* Deferred.make<void>()
      yield* Effect.forEach(
        names,
        (name) =>
          Effect.andThen(
            lookUp(name),
            Effect.sync(() => {
              sets = build()
            })
          ),
        { concurrency, discard: true }
      ).pipe(
        Effect.withSpan("FollowedSets.lookUp"),
        Effect.andThen(Deferred.succeed(first, undefined)),
        Effect.repeat(Schedule.spaced(interval)),
        Effect.forkScoped
      )
      yield* Effect.timeoutOption(Deferred.await(first), startWait)
    }
    return (key) => sets[key]
  })
