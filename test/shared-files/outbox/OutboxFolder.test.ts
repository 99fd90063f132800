import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Exit, FastCheck, Layer, Option, Scope, TestClock } from "effect"
import { makeSettings } from "../../../src/config/GivenSettings.ts"
import { RelayConfig } from "../../../src/config/RelayConfig.ts"
import { Disk, DiskError, type DiskService } from "../../../src/disk/Disk.ts"
import { StorageFull } from "../../../src/RelayError.ts"
import * as EntryName from "../../../src/shared-files/outbox/EntryName.ts"
import type { Attempts } from "../../../src/shared-files/outbox/EntryRecord.ts"
import * as EntryTail from "../../../src/shared-files/outbox/EntryTail.ts"
import * as OutboxFolder from "../../../src/shared-files/outbox/OutboxFolder.ts"
import { type MakeRoom, OutboxStorage } from "../../../src/shared-files/outbox/OutboxStorage.ts"
import type { Spool } from "../../../src/shared-files/outbox/Spool.ts"
import { CrashingDisk } from "../../../src/testing/CrashingDisk.ts"
import { alone, Leases } from "../../../src/testing/Leases.ts"
import { MemoryStorage } from "../../support/MemoryStorage.ts"
import { makeOlder } from "../../support/OlderEntries.ts"
import { memory, metadataOf, nameOf } from "../../support/Outboxes.ts"
import { openDisk } from "../../support/Stores.ts"
import { oneByOne, threaded } from "../../support/ThreadedDisk.ts"

interface Options {
  readonly maxSize?: number
  readonly minFree?: number
  readonly lease?: ReturnType<typeof alone>
  readonly makeRoom?: MakeRoom
}

const storageLayer = (
  disk: DiskService,
  { maxSize = Number.MAX_SAFE_INTEGER, minFree = 0, lease = alone() }: Options = {}
) => {
  const sharedFiles = { outbox: "/outbox", outboxMaxSize: maxSize, minFree }
  return OutboxFolder.layer.pipe(
    Layer.provide([
      Layer.succeed(Disk, disk),
      lease,
      Layer.succeed(
        RelayConfig,
        makeSettings({ general: { shutdownGrace: Duration.seconds(1) }, sharedFiles })
      )
    ])
  )
}

const full = new StorageFull({ message: "no room" })

/** The outbox of a disk, as a process has it until the scope ends. */
const open = (disk: DiskService, options: Options = {}) =>
  Effect.flatMap(OutboxStorage, (storage) => storage.open(options.makeRoom ?? (() => full))).pipe(
    Effect.provide(storageLayer(disk, options))
  )

const orderOf = (version: number) => version.toString(16).padStart(16, "0")

/** Has a version of a file committed, which was accepted at this time. */
const commit = (spool: Spool, fileId: string, version: number, accepted = 0) =>
  Effect.gen(function* () {
    const content = `version ${version}`
    const incoming = yield* spool.begin
    yield* incoming.write(Buffer.from(content))
    const name = nameOf(fileId)
    const record = { name, began: accepted, accepted, metadata: metadataOf(content) }
    return yield* spool.commit(incoming, record, { key: EntryName.keyOf(name), order: orderOf(version) })
  }).pipe(Effect.scoped)

const textOf = (spool: Spool, entry: EntryName.EntryName) =>
  Effect.promise(async () => {
    const pieces: Array<Buffer> = []
    for await (const piece of spool.content(entry)) pieces.push(Buffer.from(piece))
    return Buffer.concat(pieces).toString()
  })

const pathOf = (entry: EntryName.EntryName) =>
  `/outbox/entries/${EntryName.printShard(EntryName.shardOf(entry.key))}/${EntryName.print(entry)}`

const keys = ["a", "b", "c"].map((fileId) => EntryName.keyOf(nameOf(fileId)))

/** All that there is to see of an outbox. */
const seen = (spool: Spool) =>
  Effect.gen(function* () {
    const files = yield* Effect.forEach(keys, (key) => spool.versions(key))
    const shards = yield* Effect.forEach([...new Set(spool.shards())], (shard) => spool.shard(shard))
    return {
      files,
      all: shards.flat().map(EntryName.print).sort(),
      amounts: spool.amounts(),
      read: yield* Effect.forEach(files.flat(), (entry) =>
        Effect.all({
          record: spool.record(entry),
          attempts: spool.attempts(entry),
          isWhole: Effect.map(spool.load(entry), ({ isWhole }) => isWhole),
          content: textOf(spool, entry)
        })
      )
    }
  })

const attemptsOf = (count: number): Attempts => ({
  count,
  at: 1000 * count,
  error: `attempt ${count}`,
  status: count % 2 === 0 ? Option.none() : Option.some(403)
})

const step = FastCheck.oneof(
  {
    weight: 3,
    arbitrary: FastCheck.record({ do: FastCheck.constant("commit" as const), file: FastCheck.nat(2) })
  },
  {
    weight: 2,
    arbitrary: FastCheck.record({
      do: FastCheck.constant("change" as const),
      at: FastCheck.nat(),
      state: FastCheck.constantFrom("waiting" as const, "refused" as const),
      time: FastCheck.nat(100_000),
      count: FastCheck.option(FastCheck.integer({ min: 1, max: 9 }), { nil: undefined }),
      durable: FastCheck.boolean()
    })
  },
  {
    weight: 1,
    arbitrary: FastCheck.record({
      do: FastCheck.constant("remove" as const),
      at: FastCheck.nat(),
      replaced: FastCheck.boolean()
    })
  },
  { weight: 1, arbitrary: FastCheck.record({ do: FastCheck.constant("giveUp" as const) }) },
  { weight: 1, arbitrary: FastCheck.record({ do: FastCheck.constant("reopen" as const) }) }
)
type Step = typeof step extends FastCheck.Arbitrary<infer A> ? A : never

/** What was tried is written over, and then goes with the entry. */
const triedTwice: Array<Step> = [
  { do: "commit", file: 0 },
  { do: "change", at: 0, state: "waiting", time: 1, count: 1, durable: true },
  { do: "change", at: 0, state: "waiting", time: 1, count: 2, durable: false },
  { do: "remove", at: 0, replaced: false }
]

/** What an older relay left is tried again, and then goes, too. */
const triedBefore: Array<Step> = [
  ...triedTwice.slice(0, 2),
  { do: "reopen" },
  ...triedTwice.slice(2, 3),
  { do: "reopen" },
  ...triedTwice.slice(3)
]

/** Without what tells folders from files. */
const likeFiles = ({ all, files, ...rest }: Effect.Effect.Success<ReturnType<typeof seen>>) => ({
  ...rest,
  all: all.map((name) => name.replace(/\.entry$/, "")),
  files: files.map((entries) => entries.map(({ isFolder, ...entry }) => entry))
})

/** Does one thing to an outbox. @param version of what is committed */
const perform = (spool: Spool, step: Step, version: number) =>
  Effect.gen(function* () {
    if (step.do === "commit") yield* commit(spool, ["a", "b", "c"][step.file] ?? "a", version, version)
    if (step.do === "giveUp")
      yield* Effect.scoped(Effect.flatMap(spool.begin, ({ write }) => write(Buffer.from("x"))))
    const entries = (yield* Effect.forEach(keys, (key) => spool.versions(key))).flat()
    const entry = "at" in step ? entries[step.at % Math.max(1, entries.length)] : undefined
    if (entry === undefined) return
    if (step.do === "remove") {
      yield* spool.remove(entry, { replaced: step.replaced })
      yield* step.replaced ? spool.syncReplaced(entry.key) : spool.sync(entry.key)
    }
    if (step.do === "change") {
      const { state, time, count, durable } = step
      const attempts = count === undefined ? {} : { attempts: attemptsOf(count) }
      expect(yield* spool.change(entry, { state, time }, { ...attempts, durable })).toEqual({
        ...entry,
        state,
        time
      })
    }
  })

describe("an outbox in a folder", () => {
  it.effect.prop(
    "has what an outbox in memory has, whatever is done to it, and over restarts, also of an older relay's",
    [FastCheck.array(step, { maxLength: 15 }), FastCheck.boolean()],
    ([steps, isOlder]) =>
      Effect.gen(function* () {
        const { disk } = CrashingDisk.make()
        const model = new MemoryStorage().spool()
        let scope = yield* Scope.make()
        let spool = yield* Scope.extend(open(disk), scope)
        for (const [at, step] of steps.entries()) {
          if (step.do === "reopen") {
            yield* Scope.close(scope, Exit.void)
            if (isOlder) yield* makeOlder(disk, "/outbox")
            scope = yield* Scope.make()
            spool = yield* Scope.extend(open(disk), scope)
          }
          yield* perform(spool, step, at + 1)
          yield* perform(model, step, at + 1)
          expect(likeFiles(yield* seen(spool))).toEqual(likeFiles(yield* seen(model)))
          expect(yield* disk.list("/outbox/~tmp")).toEqual([])
        }
        yield* Scope.close(scope, Exit.void)
      }),
    {
      fastCheck: {
        numRuns: 40,
        examples: [
          [triedTwice, false],
          [triedBefore, true]
        ]
      },
      timeout: 120_000
    }
  )

  for (const [how, commits] of [
    ["one step after the other", oneByOne] as const,
    ["by the thread", threaded] as const
  ])
    for (const size of [9, 100_000])
      it.scoped(
        `has ${size} bytes that are committed ${how} on the disk when it says so, and never a part of them`,
        () =>
          Effect.gen(function* () {
            const crashing = CrashingDisk.make()
            const spool = yield* open(commits(crashing))
            const content = Buffer.alloc(size, "content; ")
            /** What a stop now would leave in place of entries: whether each is whole. */
            const leftIn = (seeds: number) =>
              Array.from({ length: seeds }, (_, seed) =>
                Array.from(crashing.ifStopped(seed).files(), ([path, { content: all }]) => ({ path, all }))
                  .filter(({ path }) => path.startsWith("/outbox/entries/"))
                  .map(({ all }) => {
                    const tail = EntryTail.parse({ bytes: all, length: all.length }, size)
                    return all.subarray(0, size).equals(content) && tail !== undefined
                  })
              )
            const broken: Array<string> = []
            crashing.onOperation = ({ kind, paths }) => {
              if (leftIn(8).flat().includes(false)) broken.push(`${kind} ${paths.join(" ")}`)
            }
            for (const version of [1, 2]) {
              yield* Effect.gen(function* () {
                const incoming = yield* spool.begin
                yield* incoming.write(content)
                const record = {
                  name: nameOf("a"),
                  began: 0,
                  accepted: 0,
                  metadata: metadataOf(content.toString())
                }
                yield* spool.commit(incoming, record, { key: keys[0] ?? "", order: orderOf(version) })
              }).pipe(Effect.scoped)
              expect(leftIn(20)).toEqual(Array.from({ length: 20 }, () => Array(version).fill(true)))
            }
            expect(broken).toEqual([])
          })
      )

  it.scoped("is one that a person can read, and nobody else", () =>
    Effect.gen(function* () {
      const { fs, disk } = openDisk()
      const spool = yield* open(disk)
      const entry = yield* commit(spool, "a", 1, 5000)
      const later = yield* spool.change(
        entry,
        { state: "waiting", time: 9000 },
        { attempts: attemptsOf(3), durable: false }
      )
      const shard = `/outbox/entries/${EntryName.printShard(EntryName.shardOf(entry.key))}`
      const [file, attempts] = [EntryName.print(later), EntryName.printAttempts(later)]
      expect(fs.readdirSync(shard).map(String).sort()).toEqual([file, attempts].sort())
      expect(String(fs.readFileSync(`${shard}/${file}`))).toMatch(
        /^version 1\ntarget=far\nsource=source\nfile_id=a\n(?:\w+=.*\n)+entry content=000000000000009 request=000\d{3} crc32=[0-9a-f]{8}\n$/
      )
      expect(String(fs.readFileSync(`${shard}/${attempts}`))).toMatch(/^attempts=3\n/)
      for (const path of [`${shard}/${file}`, `${shard}/${attempts}`])
        expect(Number(fs.statSync(path).mode) & 0o777).toBe(0o600)
      for (const path of ["/outbox", "/outbox/~tmp", "/outbox/entries", shard])
        expect(Number(fs.statSync(path).mode) & 0o777).toBe(0o700)
    })
  )

  it.scoped(
    "gives none for a record of an older relay that was not written by it, and knows a cut content",
    () =>
      Effect.gen(function* () {
        const { fs, disk } = openDisk()
        const before = yield* Scope.make()
        const first = yield* Scope.extend(open(disk), before)
        for (const [at, file] of ["a", "b"].entries()) yield* commit(first, file, at + 1)
        yield* Scope.close(before, Exit.void)
        yield* makeOlder(disk, "/outbox")
        const spool = yield* open(disk)
        const [one, other] = (yield* Effect.forEach(keys, (key) => spool.versions(key))).flat()
        if (one === undefined || other === undefined) throw new Error("nothing was committed")
        fs.writeFileSync(`${pathOf(one)}/request`, "nonsense")
        fs.writeFileSync(`${pathOf(one)}/attempts`, "attempts=many\n")
        fs.truncateSync(`${pathOf(one)}/content`, 3)
        fs.unlinkSync(`${pathOf(other)}/request`)
        fs.mkdirSync(`${pathOf(other)}/request`)
        for (const entry of [one, other]) {
          expect(yield* spool.record(entry)).toEqual(Option.none())
          expect(yield* spool.attempts(entry)).toEqual(Option.none())
        }
        expect(yield* spool.load(one)).toMatchObject({ record: Option.none(), isWhole: false })
        expect(yield* spool.load(other)).toMatchObject({ record: Option.none(), isWhole: true })
      })
  )

  it.scoped(
    "takes no file for an entry that is not all that was written, wherever it is cut or changed",
    () =>
      Effect.gen(function* () {
        const { fs, disk } = openDisk()
        const spool = yield* open(disk)
        const [entry, other] = [yield* commit(spool, "a", 1), yield* commit(spool, "b", 2)]
        const path = pathOf(entry)
        const whole = fs.readFileSync(path) as Buffer
        const looked = Effect.gen(function* () {
          const { isWhole } = yield* spool.load(entry)
          return { isWhole, isRead: Exit.isSuccess(yield* Effect.exit(textOf(spool, entry))) }
        })
        expect(yield* looked).toEqual({ isWhole: true, isRead: true })
        for (let length = 0; length < whole.length; length++) {
          fs.writeFileSync(path, whole.subarray(0, length))
          expect({ length, ...(yield* looked) }).toEqual({ length, isWhole: false, isRead: false })
          expect({ length, record: yield* spool.record(entry) }).toEqual({ length, record: Option.none() })
        }
        for (let at = 0; at < whole.length; at++) {
          const changed = Buffer.from(whole)
          changed[at] = (whole[at] ?? 0) ^ 1
          fs.writeFileSync(path, changed)
          expect({ at, ...(yield* looked) }).toEqual({ at, isWhole: false, isRead: false })
        }
        for (const more of [Buffer.from("\n"), whole]) {
          fs.writeFileSync(path, Buffer.concat([whole, more]))
          expect(yield* looked).toEqual({ isWhole: false, isRead: false })
        }
        // That of another content, which is whole itself, is none of this one.
        fs.writeFileSync(path, Buffer.concat([Buffer.from("and "), whole]))
        expect(yield* looked).toEqual({ isWhole: false, isRead: false })
        for (const put of [() => fs.mkdirSync(path), () => fs.symlinkSync(pathOf(other), path)]) {
          fs.unlinkSync(path)
          put()
          expect(yield* looked).toEqual({ isWhole: false, isRead: false })
          expect(yield* spool.record(entry)).toEqual(Option.none())
          if (fs.lstatSync(path).isDirectory()) {
            yield* spool.remove(entry)
            fs.writeFileSync(path, whole)
            expect(yield* looked).toEqual({ isWhole: true, isRead: true })
          }
        }
        yield* spool.remove(entry)
        expect(fs.existsSync(path)).toBe(false)
        expect((yield* spool.load(other)).isWhole).toBe(true)
      })
  )

  it.scoped(
    "has a great content in pieces, and gives the last one only where all of them are as they were written",
    () =>
      Effect.gen(function* () {
        const { fs, disk } = openDisk()
        const spool = yield* open(disk)
        for (const size of [16 * 1024, 64 * 1024, 64 * 1024 + 1, 16 * 1024 + (1 << 20), 3_000_000]) {
          const content = Buffer.alloc(size, `${size} bytes; `)
          const name = nameOf(`of-${size}`)
          const metadata = metadataOf(content.toString())
          const entry = yield* Effect.gen(function* () {
            const incoming = yield* spool.begin
            for (let from = 0; from < size; from += 50_000)
              yield* incoming.write(content.subarray(from, from + 50_000))
            const record = { name, began: 0, accepted: 0, metadata }
            return yield* spool.commit(incoming, record, { key: EntryName.keyOf(name), order: orderOf(1) })
          }).pipe(Effect.scoped)
          expect(fs.readdirSync("/outbox/~tmp")).toEqual([])
          expect(yield* spool.load(entry)).toMatchObject({ record: { value: { name } }, isWhole: true })
          expect(yield* spool.record(entry)).toMatchObject({ value: { name } })
          expect((yield* textOf(spool, entry)) === content.toString()).toBe(true)
          const whole = fs.readFileSync(pathOf(entry)) as Buffer
          fs.writeFileSync(pathOf(entry), Buffer.from(whole).fill(0, 5000, 9000))
          let given = 0
          const read = Effect.promise(async () => {
            for await (const piece of spool.content(entry)) given += piece.length
          })
          expect(Exit.isFailure(yield* Effect.exit(read))).toBe(true)
          expect(given).toBeLessThan(size)
          fs.truncateSync(pathOf(entry), size)
          expect((yield* spool.load(entry)).isWhole).toBe(false)
        }
      })
  )

  it.scoped("has a request that is long, as that of a source with a long key is", () =>
    Effect.gen(function* () {
      const spool = yield* open(memory())
      for (const size of [100, 64 * 1024 + 1]) {
        const content = "x".repeat(size)
        const name = nameOf(`of-${size}`)
        const metadata = metadataOf(content, { digest: "ab".repeat(20_000) })
        const entry = yield* Effect.gen(function* () {
          const incoming = yield* spool.begin
          yield* incoming.write(Buffer.from(content))
          const record = { name, began: 0, accepted: 0, metadata }
          return yield* spool.commit(incoming, record, { key: EntryName.keyOf(name), order: orderOf(1) })
        }).pipe(Effect.scoped)
        expect(yield* spool.record(entry)).toMatchObject({ value: { name, metadata } })
        expect(yield* spool.load(entry)).toMatchObject({ record: { value: { metadata } }, isWhole: true })
      }
    })
  )

  it.scoped("is made of its own bytes where several contents come at once", () =>
    Effect.gen(function* () {
      const spool = yield* open(memory())
      const files = ["a", "b", "c"]
      const texts = yield* Effect.gen(function* () {
        const coming = yield* Effect.forEach(files, () => spool.begin)
        const pieces = files.map((file) => file.repeat(50_000))
        for (let times = 0; times < 2; times++)
          for (const [at, incoming] of coming.entries()) yield* incoming.write(Buffer.from(pieces[at] ?? ""))
        return yield* Effect.forEach(coming, (incoming, at) => {
          const name = nameOf(files[at] ?? "")
          const metadata = metadataOf(`${pieces[at]}${pieces[at]}`)
          const record = { name, began: 0, accepted: 0, metadata }
          const entry = { key: EntryName.keyOf(name), order: orderOf(1) }
          return Effect.flatMap(spool.commit(incoming, record, entry), (made) => textOf(spool, made))
        })
      }).pipe(Effect.scoped)
      expect(texts).toEqual(files.map((file) => file.repeat(100_000)))
    })
  )

  it.scoped("keeps nothing of what was tried once its entry is gone, though a stop came between", () =>
    Effect.gen(function* () {
      const crashing = CrashingDisk.make()
      const path = yield* Effect.scoped(
        Effect.gen(function* () {
          const spool = yield* open(crashing.disk)
          const [one, other] = [yield* commit(spool, "a", 1), yield* commit(spool, "b", 2)]
          for (const entry of [one, other])
            yield* spool.change(
              entry,
              { state: "waiting", time: 7 },
              { attempts: attemptsOf(2), durable: true }
            )
          const [later] = yield* spool.versions(one.key)
          if (later !== undefined) yield* crashing.disk.remove(pathOf(later))
          return pathOf(one).replace(EntryName.print(one), EntryName.printAttempts(one))
        })
      )
      expect(crashing.file(path)).toBeDefined()
      const left = () => [...crashing.files().keys()].filter((each) => each.endsWith(".attempts"))
      const spool = yield* open(crashing.disk)
      expect(crashing.file(path)).toBeUndefined()
      expect(left()).toHaveLength(1)
      for (const entry of yield* spool.versions(keys[1] ?? "")) yield* spool.remove(entry)
      expect(left()).toEqual([])
    })
  )

  it.scoped("leaves alone what somebody else put among its entries", () =>
    Effect.gen(function* () {
      const { fs, disk } = openDisk()
      for (const folder of ["/outbox/entries/notes", "/outbox/entries/0ab/notes", "/outbox/~tmp/left"])
        fs.mkdirSync(folder, { recursive: true })
      const spool = yield* open(disk)
      expect(spool.shards()).toEqual([0x0ab])
      expect(yield* spool.shard(0x0ab)).toEqual([])
      expect(yield* spool.shard(7)).toEqual([])
      expect(spool.amounts().waiting.entries).toBe(0)
      expect(fs.readdirSync("/outbox/~tmp")).toEqual([])
      expect(fs.existsSync("/outbox/entries/notes")).toBe(true)
    })
  )

  it.scoped("removes several at once by one order, where one that is not there is in no other's way", () =>
    Effect.gen(function* () {
      const crashing = CrashingDisk.make()
      let orders = 0
      const { sequence } = crashing.disk
      const spool = yield* open({
        ...crashing.disk,
        sequence: (steps) =>
          Effect.suspend(() => {
            orders++
            return sequence(steps)
          })
      })
      const entries = yield* Effect.forEach([1, 2, 3], (version) => commit(spool, "a", version))
      const [, gone] = entries
      if (gone === undefined) throw new Error("nothing was committed")
      yield* crashing.disk.rename(pathOf(gone), "/elsewhere")
      orders = 0
      const removed = yield* Effect.forEach(entries, (entry) => Effect.either(spool.remove(entry)), {
        concurrency: "unbounded"
      })
      expect(removed.map(({ _tag }) => _tag)).toEqual(["Right", "Right", "Right"])
      expect(yield* spool.versions(gone.key)).toEqual([])
      expect(yield* crashing.disk.list("/outbox/~tmp")).toEqual([])
      expect(orders).toBe(1)
      expect(spool.amounts().waiting).toEqual({ entries: 0, bytes: 0 })
      yield* commit(spool, "b", 1)
      yield* commit(spool, "c", 1)
      const others = (yield* Effect.forEach(keys, (key) => spool.versions(key))).flat()
      orders = 0
      yield* Effect.forEach(others, (entry) => spool.remove(entry), { concurrency: "unbounded" })
      expect(orders).toBe(1)
      expect((yield* Effect.forEach(keys, (key) => spool.versions(key))).flat()).toEqual([])
    })
  )

  it.scoped("says of which one the disk failed, where it removes several at once", () =>
    Effect.gen(function* () {
      const crashing = CrashingDisk.make()
      const spool = yield* open(crashing.disk)
      const entries = yield* Effect.forEach([1, 2, 3], (version) => commit(spool, "a", version))
      const stays = entries[1] === undefined ? "" : pathOf(entries[1])
      crashing.failWhen(({ kind, paths }) => (kind === "unlink" && paths[0] === stays ? "EIO" : undefined))
      const removed = yield* Effect.forEach(entries, (entry) => Effect.either(spool.remove(entry)), {
        concurrency: "unbounded"
      })
      expect(removed.map(({ _tag }) => _tag)).toEqual(["Right", "Left", "Right"])
      expect(removed[1]).toMatchObject({ left: { code: "EIO" } })
      expect(yield* spool.versions(keys[0] ?? "")).toEqual(entries.slice(1, 2))
      expect(spool.amounts().waiting.entries).toBe(1)
    })
  )

  it.scoped("knows without a look what it has read a moment ago, and done since", () =>
    Effect.gen(function* () {
      const spool = yield* open(memory())
      const key = keys[0] ?? ""
      const recent = Effect.map(TestClock.currentTimeMillis, (now) => spool.recent(key, now))
      const one = yield* commit(spool, "a", 1)
      expect(yield* recent).toBeUndefined()
      expect(yield* spool.versions(key)).toEqual([one])
      const two = yield* commit(spool, "a", 2)
      const later = yield* spool.change(one, { state: "refused", time: 7 }, { durable: true })
      expect(yield* recent).toEqual([two, later])
      yield* spool.remove(two)
      expect(yield* recent).toEqual([later])
      yield* TestClock.adjust("1 second")
      expect(yield* recent).toBeUndefined()
    })
  )

  it.scoped("reads a shard only for a file of which there may be an entry", () =>
    Effect.gen(function* () {
      const disk = memory()
      const reads: Array<string> = []
      const watched: DiskService = {
        ...disk,
        names: (path) =>
          Effect.andThen(
            Effect.sync(() => reads.push(path)),
            disk.names(path)
          )
      }
      const [first = ""] = keys
      // Of the same shard.
      const [second, third] = ["00", "ff"].map((kind) => `${first.slice(0, 3)}${kind}${first.slice(5)}`)
      expect([second, third]).not.toContain(first)
      const put = (spool: Spool, key = "", version = 1) =>
        Effect.gen(function* () {
          const incoming = yield* spool.begin
          yield* incoming.write(Buffer.from("x"))
          const record = { name: nameOf("a"), began: 0, accepted: 0, metadata: metadataOf("x") }
          return yield* spool.commit(incoming, record, { key, order: orderOf(version) })
        }).pipe(Effect.scoped)
      const readsFor = (spool: Spool, key = "") =>
        Effect.gen(function* () {
          reads.length = 0
          const versions = yield* spool.versions(key)
          return { versions, reads: reads.length }
        })
      const spool = yield* open(watched)
      const one = yield* put(spool, first)
      expect(yield* readsFor(spool, first)).toEqual({ versions: [one], reads: 1 })
      expect(yield* readsFor(spool, second)).toEqual({ versions: [], reads: 0 })
      // What somebody else has put there is found where the shard is read for the first time.
      const two = yield* Effect.scoped(Effect.flatMap(open(disk), (other) => put(other, second)))
      expect(yield* spool.shard(EntryName.shardOf(first))).toEqual([one, two].sort(EntryName.byAge).reverse())
      expect(yield* readsFor(spool, second)).toEqual({ versions: [two], reads: 1 })
      // Behind a restart it is known what is there.
      const later = yield* open(watched)
      expect(yield* readsFor(later, first)).toEqual({ versions: [one], reads: 1 })
      expect(yield* readsFor(later, third)).toEqual({ versions: [], reads: 0 })
      // A shard that was empty begins anew.
      for (const entry of [one, two]) yield* later.remove(entry)
      yield* put(later, third)
      expect(yield* readsFor(later, first)).toEqual({ versions: [], reads: 0 })
    })
  )

  it.scoped("goes into no shard that is a link", () =>
    Effect.gen(function* () {
      const { fs, disk } = openDisk()
      const spool = yield* open(disk)
      const shard = `/outbox/entries/${EntryName.printShard(EntryName.shardOf(keys[0] ?? ""))}`
      fs.mkdirSync("/elsewhere")
      fs.symlinkSync("/elsewhere", shard)
      expect(yield* Effect.flip(commit(spool, "a", 1))).toMatchObject({ _tag: "DiskError", code: "EFTYPE" })
      expect(fs.readdirSync("/elsewhere")).toEqual([])
      expect(yield* spool.versions(keys[0] ?? "")).toEqual([])
    })
  )

  it.scoped("does not keep an entry whose place may not be on the disk", () =>
    Effect.gen(function* () {
      const crashing = CrashingDisk.make()
      const spool = yield* open(crashing.disk)
      yield* commit(spool, "a", 1)
      const shard = `/outbox/entries/${EntryName.printShard(EntryName.shardOf(keys[0] ?? ""))}`
      crashing.failWhen(({ kind, paths }) => (kind === "sync" && paths[0] === shard ? "EIO" : undefined))
      expect(yield* Effect.flip(commit(spool, "a", 2))).toMatchObject({ _tag: "DiskError", code: "EIO" })
      expect((yield* spool.versions(keys[0] ?? "")).map(({ order }) => order)).toEqual([orderOf(1)])
      expect(spool.amounts().waiting).toEqual({ entries: 1, bytes: 9 })
      expect([...crashing.files().keys()].filter((path) => path.startsWith("/outbox/~tmp/"))).toEqual([])
    })
  )

  it.scoped(
    "has what was replaced gone for good once that is synced, and asks the disk no more often than it takes",
    () =>
      Effect.gen(function* () {
        const crashing = CrashingDisk.make()
        const spool = yield* open(crashing.disk)
        const [older, key] = [yield* commit(spool, "a", 1), keys[0] ?? ""]
        yield* commit(spool, "a", 2)
        const syncs = () => crashing.operations.filter(({ kind }) => kind === "sync").length
        const cost = (effect: Effect.Effect<void, unknown>) =>
          Effect.gen(function* () {
            const before = syncs()
            yield* effect
            return syncs() - before
          })
        expect(yield* cost(spool.syncReplaced(key))).toBe(0)
        yield* spool.remove(older, { replaced: true })
        expect(yield* cost(spool.syncReplaced(key))).toBe(1)
        expect(yield* cost(spool.syncReplaced(key))).toBe(0)
        for (let seed = 0; seed < 20; seed++) {
          const survivor = yield* Effect.scoped(
            Effect.flatMap(open(crashing.ifStopped(seed).disk), (left) => left.versions(key))
          )
          expect(survivor.map(({ order }) => order)).toEqual([orderOf(2)])
        }
      })
  )

  it.scoped("takes for replaced, but not synced, what a process before it may have replaced", () =>
    Effect.gen(function* () {
      const crashing = CrashingDisk.make()
      yield* Effect.scoped(Effect.flatMap(open(crashing.disk), (spool) => commit(spool, "a", 1)))
      const next = crashing.takeOver()
      const spool = yield* open(next.disk)
      const before = next.operations.length
      yield* spool.syncReplaced(keys[0] ?? "")
      expect(next.operations.slice(before).map(({ kind }) => kind)).toContain("sync")
    })
  )

  it.effect(
    "does not lose from sight what is beside an entry of which the disk does not say whether it is there",
    () =>
      Effect.gen(function* () {
        const crashing = CrashingDisk.make()
        const spool = yield* open(crashing.disk)
        const older = yield* commit(spool, "a", 1)
        const shard = `/outbox/entries/${EntryName.printShard(EntryName.shardOf(older.key))}`
        // The entry gets to its place, and from then on all fails.
        let isFailing = false
        crashing.failWhen(({ kind, paths }) => {
          isFailing ||= kind === "sync" && paths[0] === shard
          return isFailing ? "EIO" : undefined
        })
        yield* Effect.flip(commit(spool, "a", 2))
        crashing.failWhen(() => undefined)
        const [newer] = yield* spool.versions(older.key)
        expect(newer?.order).toBe(orderOf(2))
        // It is among what waits, too.
        expect(spool.amounts().waiting.entries).toBe(2)
        if (newer !== undefined) yield* spool.remove(newer)
        expect(yield* spool.versions(older.key)).toEqual([older])
        expect(spool.amounts().waiting).toEqual({ entries: 1, bytes: older.size })
      }).pipe(Effect.scoped)
  )

  it.effect("looks for an entry of which the disk says both that it is gone and nothing", () =>
    Effect.gen(function* () {
      const crashing = CrashingDisk.make()
      const gone = new DiskError({ message: "gone", code: "ENOENT" })
      const spool = yield* open({ ...crashing.disk, rename: () => gone })
      const [key = ""] = keys
      const shard = `/outbox/entries/${EntryName.printShard(EntryName.shardOf(key))}`
      let isFailing = false
      crashing.failWhen(({ kind, paths }) => {
        isFailing ||= kind === "sync" && paths[0] === shard
        return isFailing ? "EIO" : undefined
      })
      yield* Effect.flip(commit(spool, "a", 1))
      crashing.failWhen(() => undefined)
      expect((yield* spool.versions(key)).map(({ order }) => order)).toEqual([orderOf(1)])
    }).pipe(Effect.scoped)
  )
})

describe("the room of an outbox in a folder", () => {
  const bytes = (length: number) => Buffer.alloc(length)

  it.scoped("is asked for before a piece that does not fit, and counted at once where it does", () =>
    Effect.gen(function* () {
      const asked: Array<number> = []
      const makeRoom: MakeRoom = (size) => {
        asked.push(size)
        return size > 50 ? full : Effect.void
      }
      const spool = yield* open(memory(), { maxSize: 100, makeRoom })
      yield* Effect.gen(function* () {
        const [one, other] = [yield* spool.begin, yield* spool.begin]
        yield* one.write(bytes(60))
        yield* other.write(bytes(40))
        expect(asked).toEqual([])
        expect(yield* spool.missing(1)).toBe(1)
        yield* other.write(bytes(10))
        expect(yield* Effect.flip(one.write(bytes(51)))).toMatchObject({ _tag: "StorageFull" })
        expect(asked).toEqual([10, 51])
      }).pipe(Effect.scoped)
      expect(yield* spool.missing(100)).toBe(0)
      expect(yield* spool.missing(101)).toBe(1)
    })
  )

  it.scoped("is what is left on the disk too", () =>
    Effect.gen(function* () {
      const spool = yield* open({ ...memory(), free: () => Effect.succeed(1000) }, { minFree: 900 })
      expect(yield* spool.missing(100)).toBe(0)
      expect(yield* spool.missing(130)).toBe(30)
    })
  )

  it.scoped("is full where the disk is", () =>
    Effect.gen(function* () {
      const crashing = CrashingDisk.make()
      const spool = yield* open(crashing.disk)
      crashing.failWhen(({ kind }) => (kind === "write" ? "ENOSPC" : undefined))
      const written = Effect.flatMap(spool.begin, ({ write }) => write(bytes(100_000)))
      expect(yield* Effect.flip(Effect.scoped(written))).toMatchObject({ _tag: "StorageFull" })
      // What is small is written by its commit.
      expect(yield* Effect.flip(commit(spool, "a", 1))).toMatchObject({ _tag: "DiskError", code: "ENOSPC" })
      expect(yield* spool.missing(0)).toBe(0)
    })
  )

  it.scoped("leaves no part of a note for which a full disk had no room", () =>
    Effect.gen(function* () {
      const crashing = CrashingDisk.make()
      const spool = yield* open(crashing.disk)
      const entry = yield* commit(spool, "a", 1)
      crashing.failWhen(({ kind }) => (kind === "write" ? "ENOSPC" : undefined))
      const tried = spool.change(
        entry,
        { state: "waiting", time: 5 },
        { attempts: attemptsOf(1), durable: true }
      )
      expect(yield* Effect.flip(tried)).toMatchObject({ _tag: "DiskError", code: "ENOSPC" })
      const shard = `/outbox/entries/${EntryName.printShard(EntryName.shardOf(entry.key))}`
      expect(yield* crashing.disk.names(shard)).toEqual([EntryName.print(entry)])
    })
  )
})

describe("the folder of an outbox", () => {
  it.effect("is neither made nor taken before the outbox is opened", () =>
    Effect.gen(function* () {
      const { fs, disk } = openDisk()
      yield* Effect.provide(OutboxStorage, storageLayer(disk))
      expect(fs.existsSync("/outbox")).toBe(false)
    })
  )

  it.scoped("is one relay's alone until its outbox ends", () =>
    Effect.gen(function* () {
      const { disk } = openDisk()
      const leases = new Leases()
      const first = yield* Scope.make()
      yield* Scope.extend(open(disk, { lease: leases.of("first") }), first)
      const second = yield* Effect.fork(
        Effect.flip(Effect.scoped(open(disk, { lease: leases.of("second") })))
      )
      yield* TestClock.adjust("1 minute")
      const error = yield* second
      expect(error).toMatchObject({ _tag: "FolderUnusable", folder: "/outbox" })
      expect(error.message).toContain("first")
      yield* Scope.close(first, Exit.void)
      yield* open(disk, { lease: leases.of("second") })
    })
  )

  it.effect("that can't be read is no start, and is said", () =>
    Effect.gen(function* () {
      const crashing = CrashingDisk.make()
      yield* Effect.scoped(Effect.flatMap(open(crashing.disk), (spool) => commit(spool, "a", 1)))
      crashing.failWhen(({ kind, paths }) =>
        kind === "readdir" && paths[0]?.startsWith("/outbox/entries/") ? "EIO" : undefined
      )
      expect(yield* Effect.flip(Effect.scoped(open(crashing.disk)))).toMatchObject({
        _tag: "FolderUnusable",
        folder: "/outbox"
      })
    })
  )

  it.scoped("is told of where it was removed", () =>
    Effect.gen(function* () {
      const { fs, disk } = openDisk()
      const spool = yield* open(disk)
      expect(yield* spool.problem).toEqual(Option.none())
      fs.rmSync("/outbox", { recursive: true })
      expect(yield* spool.problem).toEqual(Option.some("/outbox/~tmp is not there"))
    })
  )
})
