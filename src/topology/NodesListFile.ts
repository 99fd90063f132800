/** The nodes list as the server's policy generation writes it: a JSON object, read without holding up anything else. */
import { Data, Effect, Option } from "effect"
import * as EventLoop from "../EventLoop.ts"
import { type NodeId, pattern } from "../NodeId.ts"
import type { Node } from "./Node.ts"

/** The file is not a JSON object. */
export class NodesListSyntaxError extends Data.TaggedError("NodesListSyntaxError")<{
  readonly message: string
}> {}

/** What a nodes list says. */
export interface ParsedNodesList {
  /** In the order of the file. */
  readonly nodes: Map<string, Node>
  /** Ids of entries that were left out, as far as they were text; the first few. */
  readonly bad: { readonly count: number; readonly examples: ReadonlyArray<string> }
}

/** `JSON.parse` of so much takes a few milliseconds. Bytes. */
const sliceLength = 256 * 1024
const maxExamples = 5

const quote = 0x22
const backslash = 0x5c
const comma = 0x2c
const opening = new Set([0x7b, 0x5b])
const closing = new Set([0x7d, 0x5d])
const isSpace = (byte: number | undefined) => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09

/**
 * Finds commas between the members of the outermost object, so that it can be parsed some members at a time. All it
 * needs to know of JSON is what a string is; what is between two cuts is checked by `JSON.parse`.
 */
class MemberScanner {
  private depth = 0
  private inString = false
  private at: number
  private readonly bytes: Uint8Array

  constructor(bytes: Uint8Array, at: number) {
    this.bytes = bytes
    this.at = at
  }

  /** The next comma between members at or behind `from`, before `limit`; -1: none. */
  next(from: number, limit: number): number {
    for (; this.at < limit; this.at++) {
      const byte = this.bytes[this.at] ?? 0
      if (this.inString) {
        if (byte === backslash) this.at++
        else if (byte === quote) this.inString = false
      } else if (byte === quote) this.inString = true
      else if (opening.has(byte)) this.depth++
      else if (closing.has(byte)) this.depth--
      else if (byte === comma && this.depth === 0 && this.at >= from) return this.at++
    }
    return -1
  }
}

const syntaxError = (message: string) => new NodesListSyntaxError({ message })

const parseMembers = (text: string) =>
  Effect.try({
    try: (): Record<string, unknown> => JSON.parse(`{${text}}`),
    catch: (cause) => syntaxError(cause instanceof Error ? cause.message : String(cause))
  })

/** What the schema asks of a text, without its way there: a long list has 100,000 of them. */
const isNodeId = (text: string): text is NodeId => pattern.test(text)

/** A policy server's id. Each is looked at once, and equal ones share one string. */
const serverOf = (server: string, servers: Map<string, NodeId>): NodeId | undefined => {
  const known = servers.get(server)
  if (known !== undefined || !isNodeId(server)) return known
  servers.set(server, server)
  return server
}

/** A node's entry; undefined when it can't be used. */
const decodeEntry = (id: string, entry: unknown, servers: Map<string, NodeId>): Node | undefined => {
  if (!isNodeId(id) || typeof entry !== "object" || entry === null) return undefined
  const hostname = "hostname" in entry ? entry.hostname : undefined
  const server = "policy-server" in entry ? entry["policy-server"] : undefined
  const keyHash = "key-hash" in entry ? entry["key-hash"] : undefined
  if (typeof hostname !== "string" || typeof server !== "string") return undefined
  const policyServer = serverOf(server, servers)
  if (policyServer === undefined) return undefined
  return {
    id,
    hostname,
    policyServer,
    keyHash: typeof keyHash === "string" && keyHash !== "" ? Option.some(keyHash) : Option.none()
  }
}

/** The bytes between the outermost braces. */
const inside = (bytes: Uint8Array) => {
  let from = 0
  let to = bytes.length
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) from = 3
  while (isSpace(bytes[from])) from++
  while (to > from && isSpace(bytes[to - 1])) to--
  return bytes[from] === 0x7b && bytes[to - 1] === 0x7d && to - from >= 2
    ? Effect.succeed({ from: from + 1, to: to - 1 })
    : Effect.fail(syntaxError("expected a JSON object"))
}

/** Parses the whole file, in pieces with pauses between them. One bad entry is left out; bad JSON fails. */
export const parse = (bytes: Uint8Array): Effect.Effect<ParsedNodesList, NodesListSyntaxError> =>
  Effect.gen(function* () {
    const { from, to } = yield* inside(bytes)
    const scanner = new MemberScanner(bytes, from)
    const decoder = new TextDecoder("utf-8", { fatal: true })
    const nodes = new Map<string, Node>()
    const servers = new Map<string, NodeId>()
    const examples: Array<string> = []
    let bad = 0
    let start = from
    let last = false
    while (!last) {
      const cut = yield* nextCut(scanner, start, to)
      last = cut === to
      const text = yield* Effect.try({
        try: () => decoder.decode(bytes.subarray(start, cut)),
        catch: () => syntaxError("not UTF-8")
      })
      if (start > from && text.trim() === "") return yield* syntaxError("a comma without an entry behind it")
      for (const [id, entry] of Object.entries(yield* parseMembers(text))) {
        const node = decodeEntry(id, entry, servers)
        if (node !== undefined) nodes.set(id, node)
        else if (++bad <= maxExamples) examples.push(id.slice(0, 100))
      }
      start = cut + 1
      yield* EventLoop.turn
    }
    return { nodes, bad: { count: bad, examples } }
  })

const nextCut = (scanner: MemberScanner, start: number, to: number) =>
  Effect.gen(function* () {
    let limit = start
    while (limit < to) {
      limit = Math.min(to, limit + 4 * sliceLength)
      const cut = scanner.next(start + sliceLength, limit)
      if (cut !== -1) return cut
      yield* EventLoop.turn
    }
    return to
  })
