/** What another program says to this one. */
import { fstatSync } from "node:fs"
import { Effect } from "effect"
import { type StartError, wrongCall } from "../StartError.ts"

/** Bytes: more is no list of names. */
const maxBytes = 16 * 1024 * 1024

/** Of what node can't read, such as a folder, it makes a stream that is empty: who runs would run without these names. */
export const readable = (descriptor: number): void => {
  if (fstatSync(descriptor).isDirectory()) throw new Error("EISDIR: it is a folder, and can't be read")
}

const read = async (): Promise<string | undefined> => {
  readable(0)
  const pieces: Array<Buffer> = []
  let size = 0
  for await (const piece of process.stdin) {
    const bytes = Buffer.from(piece)
    pieces.push(bytes)
    size += bytes.length
    if (size > maxBytes) return undefined
  }
  return Buffer.concat(pieces).toString("utf8")
}

const wrong = (message: string) => wrongCall(`stdin: ${message}`)

/** All of stdin. Fails, with code 2, where it can't be read, or is over 16 MiB. */
export const text: Effect.Effect<string, StartError> = Effect.tryPromise({
  try: read,
  catch: (cause) => wrong(cause instanceof Error ? cause.message : String(cause))
}).pipe(
  Effect.filterOrFail(
    (all) => all !== undefined,
    () => wrong("expected at most 16 MiB")
  )
)
