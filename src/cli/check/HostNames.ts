/** Names that the configuration has, and whether they have addresses. */
import { spawn } from "node:child_process"
import { isIP } from "node:net"
import { Effect, Option } from "effect"
import { ResolveError, Resolver } from "../../access/Resolver.ts"
import { parse } from "../../config/AccessEntry.ts"
import type { Settings } from "../../config/Settings.ts"
import { type Findings, finding, nothing, together, within } from "./Finding.ts"

/** As long as resolvers try by themselves, about. Seconds. */
const patience = 10

interface NamedHost {
  readonly key: string
  readonly name: string
  /** What comes of it that it has no address. */
  readonly consequence: string
}

const upstream = ({ output }: Settings): ReadonlyArray<NamedHost> =>
  Option.toArray(output.upstream.url).flatMap(({ hostname }) =>
    isIP(hostname.replace(/^\[|\]$/g, "")) === 0
      ? [
          {
            // The host stands aside where there is a `base_url`.
            key: Option.exists(output.upstream.host, (host) => host.toLowerCase() === hostname)
              ? "output.upstream.host"
              : "output.upstream.base_url",
            name: hostname,
            consequence: "the policy server can't be reached, and may not call by its address"
          }
        ]
      : []
  )

const access = ({ access: rules }: Settings): ReadonlyArray<NamedHost> =>
  (
    [
      ["access.policy_server", rules.policyServer],
      ["access.nodes", rules.nodes],
      ["access.admin", rules.admin],
      ["access.trusted_proxies", rules.trustedProxies]
    ] as const
  ).flatMap(([key, entries]) =>
    Option.getOrElse(entries, (): ReadonlyArray<string> => []).flatMap((text) =>
      Option.match(parse(text), {
        onNone: () => [],
        onSome: (entry) =>
          entry._tag === "Name" ? [{ key, name: entry.name, consequence: "it may not call" }] : []
      })
    )
  )

/**
 * Asks the system by the command `getent`, which can be ended: a look-up of node's own that gets no answer keeps the process
 * from its end. It ends with 2 where there is no address.
 */
const lookUp = (name: string): Effect.Effect<boolean, ResolveError> =>
  Effect.async<boolean, ResolveError>((resume) => {
    const child = spawn("getent", ["ahosts", name], { stdio: "ignore" })
    child.once("error", ({ message }) => resume(Effect.fail(new ResolveError({ message }))))
    child.once("exit", (code) => resume(Effect.succeed(code === 0)))
    return Effect.sync(() => child.kill("SIGKILL"))
  }).pipe(Effect.catchAll(() => Effect.flatMap(Resolver, ({ resolve }) => Effect.as(resolve(name), true))))

const resolved = ({ consequence, key, name }: NamedHost): Findings =>
  within(
    patience,
    "name",
    { key, message: `whether ${name} has an address` },
    Effect.map(
      Effect.orElseSucceed(lookUp(name), () => false),
      (has) =>
        has
          ? nothing
          : [finding("warning", "name", { key, message: `${name} has no address: ${consequence}` })]
    )
  )

/** Those that have none now: the relay starts, and asks again. */
export const wrong = (settings: Settings): Findings =>
  together([...upstream(settings), ...access(settings)].map(resolved))
