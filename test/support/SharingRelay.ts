/** A relay for tests of shared files, at nine o'clock of a day in January. */
import { Effect, Either, TestClock } from "effect"
import * as HeaderBlock from "../../src/shared-files/file/HeaderBlock.ts"
import * as SharedFileRequest from "../../src/shared-files/SharedFileRequest.ts"
import { SharedFiles } from "../../src/shared-files/SharedFiles.ts"
import { hashOf, signatureOf } from "./Keys.ts"
import type { memory } from "./Outboxes.ts"
import { key, nameOf, type Parts, send, sharingLayer } from "./Sharing.ts"

/** What is sent, unless a test says another thing. */
export const content = "for the target\n"
export const start = Date.parse("2026-01-05T09:00:00Z")
/** So many minutes later. */
export const at = (minutes: number) => new Date(start + minutes * 60_000).toISOString()

/** Runs with a relay of these parts, at nine o'clock. */
export const withRelay =
  (parts: Parts = {}) =>
  <A, E>(effect: Effect.Effect<A, E, SharedFiles>) =>
    Effect.andThen(TestClock.setTime(start), Effect.provide(effect, sharingLayer(parts)))

/** The hash of a content, as the relay has it. */
export const sha512 = (text: string) => ({ algorithm: "sha512" as const, hex: hashOf(text) })
/** Whether the target has this content. */
export const has = (text: string, name = nameOf()) =>
  Effect.flatMap(SharedFiles, (sharedFiles) => sharedFiles.has(name, sha512(text)))

/** A stored file's metadata, by its keys. */
export const metadataOf = (disk: ReturnType<typeof memory>, path: string) =>
  Effect.map(disk.readText(`${path}.metadata`), (text) =>
    Object.fromEntries(Either.getOrThrow(HeaderBlock.parse(text ?? "")))
  )

/** The header block of an existing agent; lines in place of those. */
export const blockOf = (text: string, over: Record<string, string> = {}) =>
  new Map(
    Object.entries({
      header: "rudder-signature-v1",
      algorithm: "sha512",
      digest: signatureOf(key, text).toString("hex"),
      hash_value: hashOf(text),
      short_pubkey: key.text,
      hostname: "agent.example.com",
      keydate: "2018-10-3118:21:43",
      keyid: "B29D02BB",
      ...over
    })
  )

/** Sends a file with a header block before it. */
export const sendBlock = (block: HeaderBlock.HeaderBlock, ttl = "", text = content, name = nameOf()) =>
  send(text, undefined, {
    name,
    announcement: Effect.map(SharedFileRequest.decodeBlock(block, ttl), (claim) => ({ claim, length: 0 }))
  })
