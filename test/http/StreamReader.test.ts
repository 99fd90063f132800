import { IncomingMessage } from "node:http"
import { Socket } from "node:net"
import { Readable } from "node:stream"
import { describe, expect, it } from "@effect/vitest"
import { Effect, FastCheck, Fiber, Option } from "effect"
import * as EventLoop from "../../src/EventLoop.ts"
import * as StreamReader from "../../src/http/StreamReader.ts"
import { beginning, bodyOf } from "../support/Streams.ts"

const open = (stream: Readable) => StreamReader.open(stream, "cut" as const)

/** What is read of a stream until its end: piece by piece, or into memory of so many bytes at a time. */
const readAll = (reader: StreamReader.StreamReader<"cut">, sizes: ReadonlyArray<number>) =>
  Effect.gen(function* () {
    const parts: Array<Buffer> = []
    for (let at = 0; ; at++) {
      const size = sizes[at % sizes.length] ?? 0
      const memory = new Uint8Array(size)
      const count = size === 0 ? 0 : yield* reader.fill(memory)
      if (size > 0) {
        parts.push(Buffer.from(memory.subarray(0, count)))
        if (count < size) return Buffer.concat(parts)
        continue
      }
      const bytes = yield* reader.next
      if (bytes === undefined) return Buffer.concat(parts)
      parts.push(bytes)
    }
  })

describe("StreamReader", () => {
  it.effect.prop(
    "gives all bytes of a stream in their order, however they come and are asked for",
    [
      FastCheck.array(FastCheck.uint8Array({ minLength: 1, maxLength: 50 }), { maxLength: 20 }),
      FastCheck.array(FastCheck.nat(70), { minLength: 1, maxLength: 5 })
    ],
    ([pieces, sizes]) =>
      Effect.gen(function* () {
        const reader = yield* open(bodyOf(...pieces))
        expect((yield* readAll(reader, sizes)).equals(Buffer.concat(pieces))).toBe(true)
        expect(reader.received()).toBe(Buffer.concat(pieces).length)
      }).pipe(Effect.scoped, Effect.asVoid)
  )

  it.scoped("gives what was put back first, also when the stream has ended meanwhile", () =>
    Effect.gen(function* () {
      const stream = beginning("one")
      stream.push(null)
      const reader = yield* open(stream)
      const bytes = yield* reader.next
      yield* Effect.repeatN(EventLoop.turn, 5)
      reader.putBack(Buffer.from(bytes ?? "").subarray(1))
      expect((yield* readAll(reader, [0])).toString()).toBe("ne")
      expect(yield* reader.next).toBeUndefined()
    })
  )

  /** A piece that has its memory for itself, as those of bodies have. */
  const pieceOf = (length: number, value: number) => Buffer.from(new Uint8Array(length).fill(value).buffer)
  const message = (pieces: ReadonlyArray<Buffer>) => {
    const stream = new IncomingMessage(new Socket())
    for (const piece of pieces) stream.push(piece)
    stream.push(null)
    return stream
  }
  const sizes = FastCheck.array(FastCheck.integer({ min: 0, max: 120_000 }), { minLength: 1, maxLength: 5 })
  const lengths = FastCheck.array(FastCheck.integer({ min: 1, max: 100_000 }), { maxLength: 6 })

  it.effect.prop(
    "gives all bytes of a message, though their memory goes as they are taken",
    [lengths, sizes, FastCheck.nat(50)],
    ([lengths, sizes, back]) =>
      Effect.gen(function* () {
        const pieces = lengths.map(pieceOf)
        const whole = Buffer.concat(pieces)
        const reader = yield* open(message(pieces))
        const first = yield* reader.next
        if (first !== undefined) reader.putBack(first.subarray(Math.min(back, first.length)))
        const rest = yield* readAll(reader, sizes)
        expect(rest.equals(whole.subarray(Math.min(back, first?.length ?? 0)))).toBe(true)
      }).pipe(Effect.scoped, Effect.asVoid)
  )

  it.scoped("gives the memory of a message's large pieces back, and no other", () =>
    Effect.gen(function* () {
      const shared = Buffer.from(new ArrayBuffer(200_000), 0, 100_000)
      const pieces = [pieceOf(65_536, 1), pieceOf(100, 2), shared, pieceOf(65_536, 3)]
      const total = Buffer.concat(pieces).length
      const reader = yield* open(message(pieces))
      const memory = new Uint8Array(total - 10)
      expect(yield* reader.fill(memory)).toBe(total - 10)
      expect(pieces.map((piece) => piece.buffer.byteLength)).toEqual([0, 100, 200_000, 65_536])
      expect(yield* reader.fill(memory)).toBe(10)
      expect([...memory.subarray(0, 10)]).toEqual(Array(10).fill(3))
    })
  )

  it.scoped("leaves the pieces of any other stream to those who made them", () =>
    Effect.gen(function* () {
      const piece = pieceOf(65_536, 7)
      const reader = yield* open(Readable.from([piece]))
      expect(yield* reader.fill(new Uint8Array(65_537))).toBe(65_536)
      expect(piece.buffer.byteLength).toBe(65_536)
    })
  )

  it.scoped("fails where the stream breaks off, behind what came before", () =>
    Effect.gen(function* () {
      const stream = beginning("some")
      const reader = yield* open(stream)
      const filling = yield* Effect.fork(Effect.flip(reader.fill(new Uint8Array(10))))
      yield* EventLoop.turn
      expect(reader.isWaiting()).toBe(true)
      stream.destroy(new Error("reset"))
      expect(yield* Fiber.join(filling)).toBe("cut")
      expect(yield* Effect.flip(reader.next)).toBe("cut")
      expect(yield* Effect.flip((yield* open(stream)).next)).toBe("cut")
    })
  )

  it.scoped("gives what a stream that broke off had taken in, whenever that was, and then fails", () =>
    Effect.gen(function* () {
      for (const moment of ["before it was opened", "before it was asked", "between two pieces"]) {
        const stream = beginning("so")
        const breakOff = Effect.suspend(() => {
          stream.push("me")
          stream.destroy(new Error("reset"))
          return Effect.repeatN(EventLoop.turn, 2)
        })
        stream.on("error", () => {})
        if (moment === "before it was opened") yield* breakOff
        const reader = yield* open(stream)
        const parts: Array<string> = []
        if (moment === "before it was asked") yield* breakOff
        if (moment === "between two pieces") {
          parts.push(String(yield* reader.next))
          yield* breakOff
        }
        const read = Effect.map(reader.next, (bytes) => parts.push(String(bytes)))
        expect(yield* Effect.flip(Effect.forever(read))).toBe("cut")
        expect({ moment, text: parts.join("") }).toEqual({ moment, text: "some" })
        expect(reader.received()).toBe(4)
      }
    })
  )

  it.scoped("lets the stream stand still while nobody wants more", () =>
    Effect.gen(function* () {
      let given = 0
      const stream = new Readable({
        highWaterMark: 1000,
        read() {
          given += 100
          this.push(Buffer.alloc(100))
        }
      })
      const reader = yield* open(stream)
      yield* reader.fill(new Uint8Array(50))
      yield* Effect.repeatN(EventLoop.turn, 20)
      expect(reader.isWaiting()).toBe(false)
      expect(stream.isPaused()).toBe(true)
      expect(given).toBeLessThanOrEqual(2000)
    })
  )

  it.scoped("may be interrupted, and asked again", () =>
    Effect.gen(function* () {
      const stream = beginning()
      const reader = yield* open(stream)
      const waiting = yield* Effect.fork(reader.next)
      yield* EventLoop.turn
      yield* Fiber.interrupt(waiting)
      expect(reader.isWaiting()).toBe(false)
      stream.push("later")
      expect(Option.fromNullable(yield* reader.next).pipe(Option.map(String))).toEqual(Option.some("later"))
    })
  )

  it.effect("lets go of the stream with its scope, and leaves it as it is", () =>
    Effect.gen(function* () {
      const stream = beginning("some")
      yield* Effect.scoped(Effect.flatMap(open(stream), (reader) => reader.next))
      for (const event of ["data", "end", "error", "close"]) expect(stream.listenerCount(event)).toBe(0)
      expect(stream.isPaused()).toBe(true)
      expect(stream.destroyed).toBe(false)
    })
  )

  it.scoped("knows whether all has come, and waits only for what the system has", () =>
    Effect.gen(function* () {
      const stream = beginning("some")
      const reader = yield* open(stream)
      expect(yield* reader.isWhole).toBe(false)
      expect(reader.isWaiting()).toBe(false)
      stream.push("more")
      stream.push(null)
      expect(yield* reader.isWhole).toBe(true)
      expect((yield* readAll(reader, [3])).toString()).toBe("somemore")
      expect(yield* reader.isWhole).toBe(true)
    })
  )

  it.scoped("gives all of a body in one piece where all has come, and keeps it where not", () =>
    Effect.gen(function* () {
      const stream = beginning("some")
      const reader = yield* open(stream)
      expect(yield* reader.whole).toBe(undefined)
      expect(reader.isWaiting()).toBe(false)
      stream.push("more")
      stream.push(null)
      expect(String(yield* reader.whole)).toBe("somemore")
      expect(yield* reader.next).toBe(undefined)
      const broken = beginning("some")
      const cutShort = yield* open(broken)
      broken.destroy()
      expect(yield* cutShort.whole).toBe(undefined)
      expect(String(yield* cutShort.next)).toBe("some")
    })
  )

  /** A message of which node has all. */
  const messageOf = (...pieces: ReadonlyArray<string>): IncomingMessage => {
    const message = new IncomingMessage(new Socket())
    for (const piece of pieces) message.push(Buffer.from(piece))
    message.complete = true
    message.push(null)
    return message
  }

  it.scoped("has all of a message that has come, and hears nothing more of it", () =>
    Effect.gen(function* () {
      const heard = (message: IncomingMessage) =>
        ["data", "end", "error", "close"].map((name) => message.listenerCount(name))
      const before = heard(messageOf())
      const inOne = messageOf("some", "more")
      const reader = yield* open(inOne)
      expect(heard(inOne)).toEqual(before)
      expect(reader.received()).toBe(8)
      expect(yield* reader.isWhole).toBe(true)
      expect(String(yield* reader.whole)).toBe("somemore")
      expect(yield* reader.next).toBe(undefined)
      for (const sizes of [[0], [3], [8]]) {
        const other = yield* open(messageOf("some", "more"))
        expect((yield* readAll(other, sizes)).toString()).toBe("somemore")
      }
      const given = yield* open(messageOf("some"))
      given.putBack((yield* given.next)?.subarray(1) ?? Buffer.alloc(0))
      expect(String(yield* given.whole)).toBe("ome")
      const empty = yield* open(messageOf())
      expect((yield* empty.whole)?.length).toBe(0)
      const once = messageOf("some")
      yield* Effect.scoped(open(once))
      // Node, too, sees that it has been read.
      yield* Effect.repeatN(EventLoop.turn, 2)
      expect(once.readableEnded).toBe(true)
    })
  )

  it.scoped("finds a message cut short that is broken off, though node had all of it", () =>
    Effect.gen(function* () {
      const broken = yield* StreamReader.open(messageOf("some"), "cut" as const, true)
      expect(yield* broken.whole).toBe(undefined)
      expect(String(yield* broken.next)).toBe("some")
      expect(yield* Effect.flip(broken.next)).toBe("cut")
    })
  )
})
