import { expect, it } from "@effect/vitest"
import { FastCheck, Option } from "effect"
import * as EntryTail from "../../../src/shared-files/outbox/EntryTail.ts"
import { metadataOf, nameOf } from "../../support/Outboxes.ts"

const content = FastCheck.oneof(
  FastCheck.uint8Array({ maxLength: 200 }),
  // Longer than what Node takes from a pool.
  FastCheck.uint8Array({ minLength: 5000, maxLength: 5100 })
)

/** Of a node that is called so: some characters of it are more than a byte. */
const hostname = FastCheck.string({ maxLength: 20, unit: FastCheck.constantFrom("a", "é", "東", "😀") })

it.prop(
  "a small file is a content and the tail of one that came in pieces",
  [content, hostname],
  ([bytes, host]) => {
    const metadata = metadataOf("content", { hostname: host, size: Option.some(bytes.length) })
    const record = { name: nameOf("file"), began: 1, accepted: 2, metadata }
    const tail = EntryTail.print(record, bytes.length, EntryTail.check(bytes))
    const file = EntryTail.append(bytes, record)
    expect(file).toEqual(Buffer.concat([bytes, tail]))
    const read = EntryTail.parse({ bytes: file, length: file.length }, bytes.length)
    expect(read !== undefined && EntryTail.isOf(read, EntryTail.check(bytes))).toBe(true)
  }
)
