/** What an administrator asks first: is each part of the relay well, and if not, what is wrong. */
import type { FileSystem } from "@effect/platform"
import { Clock, Duration, Effect, Option } from "effect"
import * as Durations from "../config/Durations.ts"
import { RelayConfig } from "../config/RelayConfig.ts"
import * as Sizes from "../config/Sizes.ts"
import type { Disk } from "../disk/Disk.ts"
import { root } from "../NodeId.ts"
import { RunHistory } from "../remote-run/journal/RunHistory.ts"
import { RemoteRun } from "../remote-run/RemoteRun.ts"
import { Outbox, type OutboxStatus } from "../shared-files/outbox/Outbox.ts"
import { SharedFileStore } from "../shared-files/store/SharedFileStore.ts"
import type { Certificates } from "../topology/Certificates.ts"
import { NodesList, type NodesListService } from "../topology/NodesList.ts"
import * as CertificateStatus from "./CertificateStatus.ts"
import { Reload } from "./Reload.ts"
import * as Room from "./Room.ts"
import type { Health, Status } from "./SystemApi.ts"

/** @param notes what is worth knowing, and nothing wrong */
const healthOf = (problems: ReadonlyArray<string>, notes: ReadonlyArray<string> = []): Health => {
  const said = [...problems, ...notes]
  return {
    status: problems.length === 0 ? "success" : "error",
    ...(said.length === 0 ? {} : { details: said.join("; ") })
  }
}

const iso = (millis: number): string => new Date(millis).toISOString()

/** A time that passed, to the second. */
const since = (millis: number, now: number): string =>
  Durations.print(Duration.seconds(Math.max(0, Math.round((now - millis) / 1000))))

/** What did not load is wrong; what has changed and waits for a restart is not, and is told. */
const configuration = Effect.gen(function* () {
  const reload = yield* Reload
  const waiting = yield* reload.waiting
  return healthOf(
    yield* reload.problems,
    waiting.length === 0 ? [] : [`changed, and waiting for a restart: ${waiting.join(", ")}`]
  )
})

/** When the nodes list in force was loaded and written; none where that is not known. */
export const freshnessOf = (list: NodesListService) => list.freshness ?? Effect.succeedNone

/** Whether the policy server was asked anything, and so is known to answer or not. */
export const isAsked = ({ answered, upstream }: Pick<OutboxStatus, "answered" | "upstream">): boolean =>
  Option.isSome(answered) || Option.isSome(upstream)

const nodes = Effect.gen(function* () {
  const list = yield* NodesList
  const status = yield* list.status
  const { size: known, mine } = yield* list.current
  const freshness = yield* freshnessOf(list)
  const problems = status._tag === "Error" ? [status.details] : []
  const none = known === 0 && problems.length === 0 ? ["the list has no node"] : []
  const written = Option.flatMap(freshness, (list) => list.written)
  return {
    ...healthOf(problems, none),
    known,
    mine,
    loaded: Option.getOrNull(Option.map(freshness, ({ loaded }) => iso(loaded))),
    written: Option.getOrNull(Option.map(written, iso))
  }
})

/** On root there is nobody above. Elsewhere it is known as far as somebody had to be asked. */
const upstream = Effect.gen(function* () {
  const status = yield* (yield* Outbox).status
  const { answered, upstream } = status
  const { general } = yield* RelayConfig
  const notes = general.nodeId === root || isAsked(status) ? [] : ["not asked yet"]
  return {
    ...healthOf(Option.toArray(upstream), notes),
    answered: Option.getOrNull(Option.map(answered, iso))
  }
})

/** What waits for so long is stuck: a policy server that is restarted is back sooner. Milliseconds. */
const longestWait = 3_600_000

const outbox = Effect.gen(function* () {
  const { problem, waiting, refused, oldest } = yield* (yield* Outbox).status
  const now = yield* Clock.currentTimeMillis
  const stuck = Option.toArray(Option.filter(oldest, (accepted) => now - accepted > longestWait)).map(
    (accepted) => `a file has waited for ${since(accepted, now)}`
  )
  const notes = refused.entries === 0 ? [] : [`the policy server refused ${refused.entries}`]
  return {
    ...healthOf([...Option.toArray(problem), ...stuck], notes),
    waiting: waiting.entries,
    refused: refused.entries,
    bytes: waiting.bytes + refused.bytes,
    oldest: Option.getOrNull(Option.map(oldest, iso))
  }
})

const runs = Effect.gen(function* () {
  const { runs: active, agents, waiting, overdue, unkillable } = yield* (yield* RemoteRun).activity
  const problems = [
    ...(unkillable === 0 ? [] : [`${unkillable} processes of agents that were ended can't be signalled`]),
    ...(overdue === 0 ? [] : [`${overdue} agents took longer than remote_run.timeout, and do not end`])
  ]
  return { ...healthOf(problems), active, agents, waiting, overdue, unkillable }
})

const millisPerDay = 86_400_000
/** A new one takes its time. */
const warningDays = 30
/** Of this relay's own, whose end keeps callers away. */
const problemDays = 7

const names: Record<CertificateStatus.CertificateKind, string> = {
  own: "tls.certificate",
  upstream: "the policy server's certificate",
  nodes: "certificates of nodes"
}

const endOf = ({ kind, first, count, endingBefore }: CertificateStatus.CertificateGroup, now: number) => {
  const verb = first <= now ? "ended" : "ends"
  if (kind !== "nodes") return `${names[kind]} ${verb} ${iso(first)}`
  const many = endingBefore(now + warningDays * millisPerDay)
  return `${many} of ${count} ${names[kind]} end within ${warningDays} days, the first ${verb} ${iso(first)}`
}

/**
 * What ends soon. Of other peers' certificates the key counts, and not how long they are valid: that is told, and is no
 * fault of this relay's.
 */
const certificates = Effect.gen(function* () {
  const now = yield* Clock.currentTimeMillis
  const soon = (yield* CertificateStatus.groups).filter(
    ({ first }) => first - now < warningDays * millisPerDay
  )
  const isUrgent = ({ kind, first }: CertificateStatus.CertificateGroup) =>
    kind === "own" && first - now < problemDays * millisPerDay
  return healthOf(
    soon.filter(isUrgent).map((group) => endOf(group, now)),
    soon.filter((group) => !isUrgent(group)).map((group) => endOf(group, now))
  )
})

/** The folders that history, shared files and the outbox go to. */
const storage = Effect.gen(function* () {
  const store = yield* SharedFileStore
  const history = yield* RunHistory
  const folders = yield* Room.folders
  const full = folders
    .filter(({ free, minimum }) => free < minimum)
    .map(({ path, free, minimum }) => `${path}: ${Sizes.print(free)} left, less than ${Sizes.print(minimum)}`)
  return {
    ...healthOf([
      ...Option.toArray(yield* history.problem),
      ...Option.toArray(yield* store.problem),
      ...full
    ]),
    folders: folders.map(({ folder, path, free }) => ({ folder, path, free }))
  }
})

/** The health of each part. */
export const status: Effect.Effect<
  Status,
  never,
  | Certificates
  | Disk
  | FileSystem.FileSystem
  | NodesList
  | Outbox
  | Reload
  | RelayConfig
  | RemoteRun
  | RunHistory
  | SharedFileStore
> = Effect.all({ configuration, nodes, upstream, outbox, runs, storage, certificates })
