/** The nodes that a command's targets mean, as the relay knows them. */
import { Chunk, Effect, Option, Stream } from "effect"
import { RelayClient, type RelayClientService } from "../../client/RelayClient.ts"
import * as Glob from "../../Glob.ts"
import type { KnownNode } from "../../system/SystemApi.ts"
import * as NodesOfRun from "../NodesOfRun.ts"
import type { RelayFailure } from "../RelayProblem.ts"
import * as RunName from "../RunName.ts"
import { type StartError, wrongCall } from "../StartError.ts"
import * as Target from "./Target.ts"

/** Which nodes are to be run. */
export interface TargetNodes {
  /** Their ids, in the order in which they were named; or all that the relay has. */
  readonly nodes: ReadonlyArray<string> | "all"
  /** Host names by ids, as far as they are known. */
  readonly hostnames: ReadonlyMap<string, string>
}

/** With so many names, to ask for each by itself is cheaper than to ask for all nodes. */
const fewNames = 8

/** The most that a page has. */
const pageSize = "1000"

/** The nodes that match, page by page. */
const list = (client: RelayClientService, match?: string) =>
  Stream.paginateChunkEffect(Option.none<string>(), (after) =>
    client.routes.system
      .nodes({
        urlParams: {
          limit: pageSize,
          ...(match === undefined ? {} : { match }),
          ...(Option.isSome(after) ? { after: after.value } : {})
        }
      })
      .pipe(
        Effect.map(
          ({ nodes, next }) =>
            [Chunk.unsafeFromArray(nodes), Option.map(Option.fromNullable(next), Option.some)] as const
        )
      )
  )

/** Nodes by what they may be called; letters' case does not count, as with the relay. */
class Register {
  readonly all = new Map<string, KnownNode>()
  private readonly byName = new Map<string, Array<KnownNode>>()

  add(node: KnownNode): void {
    if (this.all.has(node.node)) return
    this.all.set(node.node, node)
    for (const name of new Set([node.node.toLowerCase(), node.hostname.toLowerCase()])) {
      const those = this.byName.get(name)
      if (those === undefined) this.byName.set(name, [node])
      else those.push(node)
    }
  }

  /** Those that a name, or a glob, means. */
  named(text: string): ReadonlyArray<string> {
    const name = text.toLowerCase()
    if (!/[*?]/.test(name)) return (this.byName.get(name) ?? []).map(({ node }) => node)
    const found = new Set<string>()
    for (const [called, those] of this.byName)
      if (Glob.matches(name, called)) for (const { node } of those) found.add(node)
    return [...found]
  }
}

const register = (client: RelayClientService, targets: ReadonlyArray<Target.Target>) =>
  Effect.gen(function* () {
    const names = new Set(targets.flatMap((target) => (target._tag === "Names" ? target.names : [])))
    const wantsAll =
      names.size > fewNames || targets.some(({ _tag }) => _tag === "All" || _tag === "BehindRelay")
    const known = new Register()
    const add = (node: KnownNode) => Effect.sync(() => known.add(node))
    yield* wantsAll
      ? Stream.runForEach(list(client), add)
      : Effect.forEach(names, (name) => Stream.runForEach(list(client, name), add), { discard: true })
    return known
  })

/** The nodes of a run, or those that its `done` counts as failed. */
const ofRun = (
  client: RelayClientService,
  run: string,
  failed: boolean
): Effect.Effect<ReadonlyArray<string>, RelayFailure> => {
  if (!failed) return NodesOfRun.all(client, run)
  // What would be run again. Nothing is: it is asked for a preview.
  return client.routes.remoteRun
    .retryRun({
      path: { id: run },
      urlParams: {},
      payload: { only: "failed,cancelled,interrupted", preview: "yes" }
    })
    .pipe(
      Effect.map(
        (answer): ReadonlyArray<string> =>
          typeof answer === "string" ? [] : answer.nodes.map(({ node }) => node)
      )
    )
}

/** Who may run all nodes, and may not list them, learns from the run how many there are. */
const hasNodes = (client: RelayClientService) =>
  client.routes.system.nodes({ urlParams: { limit: "1" } }).pipe(
    Effect.map(({ nodes }) => nodes.length > 0),
    Effect.catchTag("AccessDenied", () => Effect.succeed(true))
  )

const wrong = (message: string) => wrongCall(`${message}; nothing was started`)

/** More names say no more. */
const maxShown = 10

const shown = (names: ReadonlyArray<string>): string =>
  names.slice(0, maxShown).join(", ") +
  (names.length > maxShown ? ` and ${names.length - maxShown} more` : "")

/**
 * Asks the relay which nodes are meant. Fails, with code 2, where a name means no node, among those that are left out too,
 * or where none is left.
 */
export const resolve = (
  client: RelayClientService,
  targets: ReadonlyArray<Target.Target>,
  excluded: ReadonlyArray<Target.Target>
): Effect.Effect<TargetNodes, StartError | RelayFailure> =>
  Effect.gen(function* () {
    if (excluded.length === 0 && targets.some(({ _tag }) => _tag === "All")) {
      if (!(yield* hasNodes(client))) return yield* wrong("the relay knows no nodes")
      return { nodes: "all", hostnames: new Map() }
    }
    const known = yield* register(client, [...targets, ...excluded])
    const unmatched: Array<string> = []
    const matched = (name: string, found: ReadonlyArray<string>) => {
      if (found.length === 0) unmatched.push(name)
      return found
    }
    const meant = (
      target: Target.Target
    ): Effect.Effect<ReadonlyArray<string>, RelayFailure | StartError> => {
      const text = Target.textOf(target)
      switch (target._tag) {
        case "Names":
          return Effect.succeed(target.names.flatMap((name) => matched(name, known.named(name))))
        case "All":
          return Effect.succeed(matched(text, [...known.all.keys()]))
        case "BehindRelay":
          return Effect.succeed(
            matched(
              text,
              [...known.all.values()].filter(({ via }) => via.includes(target.relay)).map(({ node }) => node)
            )
          )
        case "OfRun":
          return RunName.find(target.run).pipe(
            Effect.provideService(RelayClient, client),
            Effect.flatMap((run) => ofRun(client, run, target.failed)),
            Effect.map((found) => matched(text, found))
          )
      }
    }
    const chosen = (yield* Effect.forEach(targets, meant)).flat()
    const without = new Set((yield* Effect.forEach(excluded, meant)).flat())
    if (unmatched.length > 0) return yield* wrong(`no node is meant by ${shown(unmatched)}`)
    const nodes = [...new Set(chosen)].filter((node) => !without.has(node))
    if (nodes.length === 0) return yield* wrong("no node is left of those that were named")
    return {
      nodes,
      hostnames: new Map(Array.from(known.all.values(), ({ node, hostname }) => [node, hostname]))
    }
  })
