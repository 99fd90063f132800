/**
 * What a relay knows that may stand on a command line. It is asked over node's own client, since all of this has to be there
 * before who pressed the key looks up: the typed client takes longer to load than to answer.
 */
import { readFileSync } from "node:fs"
import * as Http from "node:http"
import * as Https from "node:https"
import { Data, Effect, Predicate } from "effect"
import { identity } from "../client/RelayIdentity.ts"
import { base, versionedBase } from "../http/BasePath.ts"
import type { Candidate, Kind } from "./Candidates.ts"
import { defaultUrl } from "./ClientOptions.ts"

/** The relay can't be asked, for whatever reason: then nothing is offered. */
class NotTold extends Data.TaggedError("NotTold")<{ readonly cause: unknown }> {}

/** Longer nobody waits for a word. */
const patience = "1500 millis"

/** More words than these are no help, and would take too long. */
const most = 10_000
const pageSize = 1000

/** What was said about which relay is meant, by the options' names without dashes. */
export type Said = ReadonlyMap<string, string>

const urlOf = (said: Said): string => {
  const given = (said.get("url") ?? (process.env.RUDDER_RELAY_URL || defaultUrl)).replace(/\/+$/, "")
  return given.endsWith(base) || given.endsWith(versionedBase) ? given : given + base
}

const file = (said: Said, name: string): string | undefined => {
  const path = said.get(name)
  return path === undefined ? undefined : readFileSync(path, "utf8")
}

const request = (said: Said, path: string, agent: Https.Agent): Http.ClientRequest => {
  const url = new URL(`${urlOf(said)}${path}`)
  if (url.protocol !== "https:") return Http.get(url)
  const [trusted, cert, key] = [file(said, "cacert"), file(said, "cert"), file(said, "cert-key")]
  return Https.get(url, {
    agent,
    ...(trusted === undefined ? {} : identity({ trusted })),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key })
  })
}

/** The JSON that a relay answers. */
type Ask = (path: string) => Effect.Effect<unknown, NotTold>

const ask =
  (said: Said, agent: Https.Agent): Ask =>
  (path) =>
    Effect.async((resume) => {
      const fail = (cause: unknown) => resume(Effect.fail(new NotTold({ cause })))
      let sent: Http.ClientRequest
      try {
        sent = request(said, path, agent)
      } catch (cause) {
        return fail(cause)
      }
      sent.on("error", fail)
      sent.on("response", (response) => {
        let text = ""
        response.setEncoding("utf8")
        response.on("error", fail)
        response.on("data", (piece) => {
          text += piece
        })
        response.on("end", () => {
          try {
            if (response.statusCode === 200) resume(Effect.succeed(JSON.parse(text)))
            else fail(response.statusCode)
          } catch (cause) {
            fail(cause)
          }
        })
      })
      return Effect.sync(() => sent.destroy())
    })

const field = (value: unknown, name: string): unknown =>
  Predicate.hasProperty(value, name) ? value[name] : undefined
const text = (value: unknown, name: string): string => {
  const found = field(value, name)
  return typeof found === "string" || typeof found === "number" ? String(found) : ""
}
const items = (value: unknown, name: string): ReadonlyArray<unknown> => {
  const found = field(value, name)
  return Array.isArray(found) ? found : []
}

/** All pages; none where there are more than can be shown: a part would be taken for all that there is. */
const nodes = (ask: Ask, typed: string): Effect.Effect<ReadonlyArray<unknown>, NotTold> =>
  Effect.gen(function* () {
    const found: Array<unknown> = []
    const match = typed === "" ? "" : `&match=${encodeURIComponent(`${typed}*`)}`
    let after = ""
    while (found.length < most) {
      const page = yield* ask(`/system/nodes?limit=${pageSize}${match}${after}`)
      for (const node of items(page, "nodes")) found.push(node)
      const next = text(page, "next")
      if (next === "") return found
      after = `&after=${encodeURIComponent(next)}`
    }
    return []
  })

const idsOf = (found: ReadonlyArray<unknown>): ReadonlyArray<Candidate> =>
  found.map((node) => ({ word: text(node, "node"), meaning: text(node, "hostname") }))

const hostNamesOf = (found: ReadonlyArray<unknown>): ReadonlyArray<Candidate> =>
  found.map((node) => ({ word: text(node, "hostname"), meaning: text(node, "node") }))

/** What is no part of an id or a host name would be taken for a pattern, or for what it is not. */
const isName = (typed: string): boolean => /^[A-Za-z0-9._-]*$/.test(typed)

const names = (ask: Ask, typed: string) =>
  isName(typed)
    ? Effect.map(nodes(ask, typed), (found) => [...idsOf(found), ...hostNamesOf(found)])
    : Effect.succeed([])

const relays = (ask: Ask) =>
  Effect.map(nodes(ask, ""), (found) => {
    const ids = new Set(found.flatMap((node) => items(node, "via")))
    return [...ids].filter(Predicate.isString)
  })

const runs = (ask: Ask): Effect.Effect<ReadonlyArray<Candidate>, NotTold> =>
  Effect.map(ask("/remote-run/runs?limit=100"), (page) =>
    items(page, "runs").map((run) => ({
      word: text(run, "id"),
      meaning: `${text(run, "started")}, ${text(run, "nodes")} nodes, ${text(run, "ok")} ok`
    }))
  )

/** What `run` takes: nodes, and with an `@` some that are meant together. */
const targets = (ask: Ask, typed: string): Effect.Effect<ReadonlyArray<Candidate>, NotTold> => {
  if (typed.startsWith("@relay:"))
    return Effect.map(relays(ask), (ids) =>
      ids.map((id) => ({ word: `@relay:${id}`, meaning: "all nodes behind this relay" }))
    )
  if (typed.startsWith("@run:"))
    return Effect.map(runs(ask), (found) =>
      found.flatMap(({ word, meaning }) => [
        { word: `@run:${word}`, meaning },
        { word: `@run:${word}:failed`, meaning: "those that are not ok" }
      ])
    )
  const groups = [
    { word: "@all", meaning: "all nodes" },
    { word: "@relay:", meaning: "all nodes behind a relay" },
    { word: "@run:", meaning: "the nodes of a run" }
  ]
  return typed.startsWith("@")
    ? Effect.succeed(groups)
    : Effect.map(names(ask, typed), (found) => (typed === "" ? [...groups, ...found] : found))
}

const known = (kind: Kind, ask: Ask, typed: string): Effect.Effect<ReadonlyArray<Candidate>, NotTold> => {
  switch (kind) {
    case "ids":
      return isName(typed) ? Effect.map(nodes(ask, typed), idsOf) : Effect.succeed([])
    case "nodes":
      return names(ask, typed)
    case "targets":
      return targets(ask, typed)
    case "runs":
      return runs(ask)
    case "entries":
      return Effect.map(ask(`/system/outbox?limit=${pageSize}`), (answer) =>
        items(field(answer, "data"), "entries").map((entry) => ({
          word: text(entry, "id"),
          meaning: `${text(entry, "state")}, ${text(entry, "target")}/${text(entry, "source")}/${text(entry, "file_id")}`
        }))
      )
    case "stored":
      return Effect.map(ask(`/system/files?limit=${pageSize}`), (page) =>
        items(page, "files").map((stored) => ({
          word: `${text(stored, "target")}/${text(stored, "source")}/${text(stored, "file_id")}`,
          meaning: `${text(stored, "size")} bytes`
        }))
      )
    default:
      return Effect.succeed([])
  }
}

/** Words of a kind that go on with what was typed; none where the relay does not say them in time. */
export const words = (said: Said, kind: Kind, typed: string): Effect.Effect<ReadonlyArray<Candidate>> =>
  Effect.acquireUseRelease(
    Effect.sync(() => new Https.Agent({ keepAlive: true })),
    (agent) => known(kind, ask(said, agent), typed),
    (agent) => Effect.sync(() => agent.destroy())
  ).pipe(
    Effect.timeout(patience),
    Effect.map((found) => found.filter(({ word }) => word !== "" && word.startsWith(typed))),
    Effect.orElseSucceed(() => [])
  )
