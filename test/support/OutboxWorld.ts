/** An outbox with all that may happen to it, and what must hold of it whatever does. */
import { Context, Deferred, Duration, Effect, Exit, Fiber, FiberId, Layer, Option, Scope } from "effect"
import { PCGRandom } from "effect/Utils"
import * as EventLoop from "../../src/EventLoop.ts"
import * as EntryName from "../../src/shared-files/outbox/EntryName.ts"
import * as EntryRecord from "../../src/shared-files/outbox/EntryRecord.ts"
import * as EntryTail from "../../src/shared-files/outbox/EntryTail.ts"
import { Outbox, type OutboxService } from "../../src/shared-files/outbox/Outbox.ts"
import type { SentFile } from "../../src/shared-files/outbox/Upstream.ts"
import { CrashingDisk } from "../../src/testing/CrashingDisk.ts"
import { type Answer, ScriptedUpstream } from "../../src/testing/ScriptedUpstream.ts"
import { ManualClock } from "./ManualClock.ts"
import { makeOlder } from "./OlderEntries.ts"
import { accept, nameOf, outboxLayer } from "./Outboxes.ts"
import { type Commits, oneByOne } from "./ThreadedDisk.ts"

/** One thing that happens. */
export type Step =
  | { readonly do: "upload"; readonly uploads: ReadonlyArray<UploadStep> }
  /** What the policy server answers from now on, in turn. */
  | { readonly do: "answer"; readonly answers: ReadonlyArray<Answer> }
  | { readonly do: "pass"; readonly millis: number }
  | { readonly do: "setClock"; readonly millis: number }
  /** What hangs breaks off. */
  | { readonly do: "letGo" }
  | { readonly do: "retry" }
  /** The n-th of those that are listed. */
  | { readonly do: "delete"; readonly at: number }
  /** The disk fails at the n-th operation from now on, and at those behind it, `times` in all. */
  | {
      readonly do: "fail"
      readonly at: number
      readonly code: "EIO" | "ENOSPC"
      readonly times?: number | undefined
    }
  /** The power goes, or the process is killed, at the n-th operation from now on. */
  | { readonly do: "stop"; readonly at: number; readonly how: "power" | "kill" }
  | { readonly do: "restart"; readonly how: "power" | "kill" | "gently" }

export interface UploadStep {
  readonly file: number
  /** Seconds. */
  readonly ttl: number | undefined
  /** Turns of the event loop after which the client goes away. */
  readonly patience: number | undefined
}

/** One content of one file. Its number says when its request began, its size says its number. */
interface Version {
  readonly file: string
  readonly number: number
  /** Unix time. */
  readonly expires: Option.Option<number>
  /** It is on the disk, says the outbox. */
  isAcknowledged: boolean
  /** The sender was told that it is not. */
  hasFailed: boolean
  isDeleted: boolean
  /** Milliseconds since 1970; when the policy server last said no. */
  rejected: number | undefined
}

/** Folders that are the relay's to make lie as deep as on a real disk. */
const root = "/var/relay/outbox"

const week = 7 * 86_400_000

/** By the default of 5 minutes at most, two files that can't be sent are tried five thousand times in a week. */
const retry = { max: Duration.hours(1) }

/** All that can be sent by then was tried again. Milliseconds. */
const untilTried = 4 * Duration.toMillis(retry.max)

/** Bytes that a version's content has besides as many as its number. */
const baseSize = 8
const contentOf = (number: number): string => `${number};`.padEnd(baseSize + number, "content ")

interface Process {
  readonly scope: Scope.CloseableScope
  readonly context: Context.Context<Outbox>
  readonly outbox: OutboxService
}

class World {
  readonly clock = new ManualClock(Date.parse("2026-01-05T09:00:00Z"))
  readonly upstream = new ScriptedUpstream()
  readonly violations: Array<string> = []
  private readonly versions = new Map<number, Version>()
  private readonly random: PCGRandom
  private crashing: CrashingDisk
  private stopping: "power" | "kill" = "power"
  private process: Process | undefined
  private answers: ReadonlyArray<Answer> = ["take"]
  /** The latest that the wall clock has said. */
  private latest = 0

  private readonly commits: Commits
  private readonly isOlder: boolean

  /** @param isOlder what waits at a start was left by an older relay */
  constructor(seed: number, commits: Commits, isOlder: boolean) {
    this.commits = commits
    this.isOlder = isOlder
    this.random = new PCGRandom(seed)
    this.crashing = CrashingDisk.make(this.seed())
    this.upstream.answer = (file) => this.answer(file)
  }

  private seed(): number {
    return this.random.integer(1 << 30)
  }

  private answer({ size }: SentFile): Answer {
    const [answer = "take", ...later] = this.answers
    this.answers = [...later, answer]
    const version = this.versions.get(size - baseSize)
    if (answer === "reject" && version !== undefined) version.rejected = this.clock.unsafeCurrentTimeMillis()
    return answer
  }

  /** Until nothing happens any more that takes no time. */
  readonly rest = Effect.gen(this, function* () {
    const activity = () => this.crashing.operations.length + this.upstream.attempts
    for (let before = activity(), quiet = 0; quiet < 8; quiet++) {
      yield* EventLoop.turn
      if (activity() !== before) quiet = 0
      before = activity()
    }
  })

  /** A start of the program; where the disk fails it, there is no process until there is another. */
  readonly start = Effect.gen(this, function* () {
    const scope = yield* Scope.make()
    if (this.isOlder) yield* Effect.orDie(makeOlder(this.crashing.disk, root))
    const disk = this.commits(this.crashing)
    const layer = outboxLayer({ disk, upstream: this.upstream, sharedFiles: { outbox: root, retry } })
    const built = yield* Effect.exit(Layer.buildWithScope(layer, scope))
    this.process = undefined
    if (Exit.isFailure(built)) return yield* Scope.close(scope, Exit.void)
    this.process = { scope, context: built.value, outbox: Context.get(built.value, Outbox) }
    this.checkTemporary()
  })

  /** The very first start, which is killed at the n-th operation of the disk, unless it is ready before; and one that is not. */
  readonly startBehindKill = (at: number) =>
    Effect.gen(this, function* () {
      this.crashing.stopAt(at)
      yield* this.start
      this.crashing.failWhen(() => undefined)
      yield* this.restart("kill")
    })

  private checkTemporary(): void {
    for (const path of this.crashing.files().keys())
      if (path.startsWith(`${root}/~tmp/`)) this.violations.push(`${path} is left by a start`)
  }

  readonly restart = (how: "power" | "kill" | "gently") =>
    Effect.gen(this, function* () {
      const before = this.crashing
      if (how === "power") this.crashing = before.restart(this.seed(), this.seed())
      if (how === "kill") this.crashing = before.takeOver(this.seed())
      if (this.process !== undefined) yield* Scope.close(this.process.scope, Exit.void)
      if (how === "gently") this.crashing = before.takeOver(this.seed())
      yield* this.start
    })

  readonly perform = (step: Step): Effect.Effect<void> =>
    Effect.gen(this, function* () {
      yield* this.happen(step)
      yield* this.rest
      this.latest = Math.max(this.latest, this.clock.unsafeCurrentTimeMillis())
      if (this.crashing.isStopped) yield* this.restart(this.stopping)
      if (this.process === undefined) yield* this.restart("gently")
      this.check(`behind ${step.do}`)
    })

  private readonly happen = (step: Step): Effect.Effect<void> => {
    switch (step.do) {
      case "upload":
        return Effect.forEach(step.uploads, this.upload, { discard: true })
      case "answer":
        return Effect.sync(() => {
          this.answers = step.answers
        })
      case "pass":
        return this.clock.pass(step.millis, this.rest)
      case "setClock":
        return Effect.sync(() => this.clock.set(step.millis))
      case "letGo":
        return this.letGo
      case "retry":
        return this.use((outbox) => outbox.retry)
      case "delete":
        return this.use((outbox) => this.delete(outbox, step.at))
      case "fail":
        return Effect.sync(() => {
          const { crashing } = this
          const from = crashing.operations.length + step.at
          const to = from + (step.times ?? 1)
          crashing.failWhen((_, at) => (at >= from && at < to ? step.code : undefined))
        })
      case "stop":
        return Effect.sync(() => {
          this.crashing.stopAt(step.at)
          this.stopping = step.how
        })
      case "restart":
        return this.restart(step.how)
    }
  }

  private readonly use = <A, E>(use: (outbox: OutboxService) => Effect.Effect<A, E>): Effect.Effect<void> =>
    this.process === undefined ? Effect.void : Effect.ignore(use(this.process.outbox))

  private readonly letGo = Effect.suspend(() => {
    const { hangs } = this.upstream
    this.upstream.hangs = Deferred.unsafeMake<void>(FiberId.none)
    return Effect.asVoid(Deferred.succeed(hangs, undefined))
  })

  private readonly delete = (outbox: OutboxService, at: number) =>
    Effect.gen(this, function* () {
      const { entries } = yield* outbox.list(100, Option.none())
      const entry = entries[at % Math.max(1, entries.length)]
      if (entry === undefined) return
      const version = this.versions.get(entry.size - baseSize)
      // Whether it is gone is not known where the disk fails meanwhile.
      if (version !== undefined) version.isDeleted = true
      yield* outbox.remove(entry.id)
    })

  /** An upload of a new version, which goes on by itself. */
  private readonly upload = ({ file, ttl, patience }: UploadStep) =>
    Effect.gen(this, function* () {
      const { process } = this
      if (process === undefined) return
      const fiber = yield* Effect.suspend(() => this.send(`file-${file}`, ttl)).pipe(
        Effect.provide(process.context),
        Effect.forkIn(process.scope)
      )
      if (patience === undefined) return
      const leave = Effect.repeatN(EventLoop.turn, patience).pipe(Effect.andThen(Fiber.interrupt(fiber)))
      yield* Effect.forkIn(leave, process.scope)
    })

  private readonly send = (file: string, ttl: number | undefined) =>
    Effect.gen(this, function* () {
      const number = this.versions.size + 1
      const seconds = Math.floor(this.clock.unsafeCurrentTimeMillis() / 1000)
      const expires = Option.map(Option.fromNullable(ttl), (left) => seconds + left)
      const version: Version = {
        file,
        number,
        expires,
        isAcknowledged: false,
        hasFailed: false,
        isDeleted: false,
        rejected: undefined
      }
      this.versions.set(number, version)
      const outcome = yield* Effect.tapError(accept(nameOf(file), contentOf(number), { expires }), () =>
        Effect.sync(() => {
          version.hasFailed = true
        })
      )
      version.isAcknowledged = true
      const result = yield* Effect.merge(outcome)
      if (result === "stored" && !this.isTaken(number))
        this.violations.push(`the sender of ${number} was told that it was stored`)
      if (typeof result !== "string" && version.rejected === undefined)
        this.violations.push(`the sender of ${number} was told that it was refused`)
    }).pipe(Effect.ignore)

  private isTaken(number: number): boolean {
    return this.upstream.taken.some(({ content }) => content === contentOf(number))
  }

  /** What the disk has, whole, by number. */
  private onDisk(disk: CrashingDisk): ReadonlySet<number> {
    const found = new Set<number>()
    const files = disk.files()
    for (const [path, { content }] of files) {
      const [, name = "", older] =
        /^\/var\/relay\/outbox\/entries\/[0-9a-f]{3}\/([^/]+)(\/content)?$/.exec(path) ?? []
      const entry = Option.getOrUndefined(EntryName.parse(name))
      if (entry === undefined || (entry.isFolder === true) !== (older !== undefined)) continue
      const number = entry.size - baseSize
      const end = { bytes: content, length: content.length }
      const request = older
        ? files.get(path.replace(/content$/, "request"))?.content
        : EntryTail.parse(end, entry.size)?.request
      const isWhole =
        (older ? content : content.subarray(0, entry.size)).toString() === contentOf(number) &&
        Option.exists(
          EntryRecord.parse(Buffer.from(request ?? []).toString()),
          ({ name }) => name.fileId === this.versions.get(number)?.file
        )
      if (isWhole) found.add(number)
    }
    return found
  }

  /** Whether a version may be gone though the policy server never took it. */
  private mayBeGone({ isDeleted, expires, rejected }: Version): boolean {
    const isExpired = Option.exists(expires, (time) => this.latest > (time - 1) * 1000)
    return isDeleted || isExpired || (rejected !== undefined && this.latest >= rejected + week)
  }

  /** What holds at any time, also of what would be left if the power went now. */
  private check(when: string): void {
    this.checkKept(this.onDisk(this.crashing), `lost ${when}`)
    for (let stop = 0; stop < 3; stop++) {
      const kept = this.onDisk(this.crashing.ifStopped(this.seed()))
      this.checkKept(kept, `lost in a stop ${when}`)
      this.checkOrder(kept, `taken, and an older version is there in a stop ${when}`)
    }
    if (this.upstream.mostOfOne > 1) this.violations.push(`two versions of a file were sent at once ${when}`)
  }

  private checkKept(kept: ReadonlySet<number>, problem: string): void {
    for (const newest of this.newestAcknowledged())
      if (
        !this.from(newest).some(
          (version) => kept.has(version.number) || this.isTaken(version.number) || this.mayBeGone(version)
        )
      )
        this.violations.push(`${newest.number} of ${newest.file}: ${problem}`)
  }

  /** What would be sent next is not older than what was taken. */
  private checkOrder(kept: ReadonlySet<number>, problem: string): void {
    for (const newest of this.versions.values()) {
      if (newest.hasFailed || !this.isTaken(newest.number)) continue
      const left = [...this.versions.values()].filter(
        ({ file, number }) => file === newest.file && kept.has(number)
      )
      if (left.length > 0 && left.every(({ number }) => number < newest.number))
        this.violations.push(`${newest.number} of ${newest.file}: ${problem}`)
    }
  }

  private newestAcknowledged(): Iterable<Version> {
    const newest = new Map<string, Version>()
    for (const version of this.versions.values())
      if (version.isAcknowledged) newest.set(version.file, version)
    return newest.values()
  }

  /** A version, and the later ones of the same file. */
  private from({ file, number }: Version): ReadonlyArray<Version> {
    return [...this.versions.values()].filter((other) => other.file === file && other.number >= number)
  }

  /** Of what the policy server took, in that order: is it whole, and does it go back? */
  private checkTaken(): void {
    const before = new Map<string, number>()
    for (const { name, content } of this.upstream.taken) {
      const version = this.versions.get(content.length - baseSize)
      if (version === undefined || version.file !== name.fileId || content !== contentOf(version.number)) {
        this.violations.push(`the policy server took '${content}' as ${name.fileId}`)
        continue
      }
      const { number, hasFailed } = version
      if (number < (before.get(name.fileId) ?? 0))
        this.violations.push(`the policy server took ${number} behind ${before.get(name.fileId)}`)
      // One that failed may be there all the same, and the one before it is what counts.
      if (!hasFailed) before.set(name.fileId, number)
    }
  }

  /** The policy server takes everything, nothing fails any more, and time goes on. */
  readonly end = (retriesRefused: boolean) =>
    Effect.gen(this, function* () {
      this.crashing.failWhen(() => undefined)
      this.answers = ["take"]
      yield* this.letGo
      if (retriesRefused) yield* this.use((outbox) => outbox.retry)
      yield* this.clock.pass(untilTried, this.rest)
      this.latest = Math.max(this.latest, this.clock.unsafeCurrentTimeMillis())
      this.check("at the end")
      yield* this.use((outbox) => this.checkArrived(outbox, retriesRefused))
      yield* this.restart("power")
      yield* this.clock.pass(untilTried, this.rest)
      this.check("behind the end")
      this.checkTaken()
    })

  private readonly checkArrived = (outbox: OutboxService, retriesRefused: boolean) =>
    Effect.gen(this, function* () {
      const { entries } = yield* outbox.list(100, Option.none())
      const left = entries.filter(({ state }) => retriesRefused || state !== "refused")
      if (left.length > 0) this.violations.push(`still there: ${JSON.stringify(left)}`)
      const { waiting, refused } = yield* outbox.status
      const counted = { entries: waiting.entries + refused.entries, bytes: waiting.bytes + refused.bytes }
      const held = { entries: entries.length, bytes: entries.reduce((sum, { size }) => sum + size, 0) }
      if (JSON.stringify(counted) !== JSON.stringify(held))
        this.violations.push(`counted ${JSON.stringify(counted)}, held ${JSON.stringify(held)}`)
      const kept = new Set(entries.map(({ size }) => size - baseSize))
      for (const newest of this.newestAcknowledged())
        if (
          !this.from(newest).some(
            (one) => this.isTaken(one.number) || this.mayBeGone(one) || kept.has(one.number)
          )
        )
          this.violations.push(`${newest.number} of ${newest.file} never arrived`)
    })
}

/** Has all of it happen, and gives what did not hold. */
export const run = (
  steps: ReadonlyArray<Step>,
  options: {
    readonly seed: number
    readonly retriesRefused: boolean
    /** The very first start is killed at this operation of the disk. */
    readonly firstKilledAt?: number | undefined
    readonly commits?: Commits | undefined
    readonly isOlder?: boolean | undefined
  }
): Effect.Effect<ReadonlyArray<string>> =>
  Effect.suspend(() => {
    const world = new World(options.seed, options.commits ?? oneByOne, options.isOlder ?? false)
    return Effect.gen(function* () {
      yield* options.firstKilledAt === undefined ? world.start : world.startBehindKill(options.firstKilledAt)
      for (const step of steps) yield* world.perform(step)
      yield* world.end(options.retriesRefused)
      return world.violations
    }).pipe(Effect.withClock(world.clock))
  })
