/** The key by which a caller says that a request is one it may have sent before (`Idempotency-Key`). */
import { createHash } from "node:crypto"
import { Schema } from "effect"

/** Of the header: 1 to 200 printable characters of ASCII. */
export const RunKey = Schema.String.pipe(
  Schema.pattern(/^[\x20-\x7e]{1,200}$/, { message: () => "expected 1 to 200 printable characters" }),
  Schema.brand("RunKey")
).annotations({ identifier: "RunKey" })
export type RunKey = typeof RunKey.Type

/** SHA-256, as 43 characters of base64url. */
export const digestOf = (text: string): string => createHash("sha256").update(text).digest("base64url")

/** Of an object the fields by their names, so that two that are written in another order are the same text. */
const byName = (_: string, value: unknown): unknown =>
  typeof value === "object" && value !== null && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
    : value

/** What two orders share that are the same: values that JSON has, or that say what they are in it. */
export const orderDigest = (order: object): string => digestOf(JSON.stringify(order, byName))
