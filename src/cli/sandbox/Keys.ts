/** The keys of the simulated nodes: made once, and kept in the sandbox. */
import { createPrivateKey, createPublicKey, generateKeyPair, type KeyObject, randomUUID } from "node:crypto"
import { promisify } from "node:util"
import { FileSystem, Path } from "@effect/platform"
import { Effect } from "effect"
import * as KeyHash from "../../topology/KeyHash.ts"

const newKey = Effect.promise(() => promisify(generateKeyPair)("rsa", { modulusLength: 2048 })).pipe(
  Effect.map(({ privateKey }) => privateKey)
)

/** Where a node's key is, as PEM. */
export const fileOf = (directory: string, node: string): string => `${directory}/keys/${node}.pem`

const readKey = (file: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const pem = yield* fs.readFileString(file)
    return yield* Effect.try(() => createPrivateKey(pem))
  })

/** A node's key: that which is there, or a new one; of two sandboxes that make it at once, both take the first. */
const keyOf = (directory: string, node: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const file = fileOf(directory, node)
    const makeIt = Effect.gen(function* () {
      const own = `${file}.${randomUUID()}`
      yield* fs.writeFileString(own, String((yield* newKey).export({ type: "pkcs1", format: "pem" })), {
        mode: 0o600
      })
      yield* Effect.ignore(fs.link(own, file))
      yield* fs.remove(own)
      return yield* readKey(file)
    })
    return yield* Effect.orElse(readKey(file), () => makeIt)
  })

/** As the nodes list has it. */
export const hashOf = (key: KeyObject): string => KeyHash.of(createPublicKey(key))

/** The key of each node. */
export const make = (directory: string, nodes: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    yield* fs.makeDirectory(path.join(directory, "keys"), { recursive: true, mode: 0o700 })
    const pairs = yield* Effect.forEach(
      nodes,
      (node) => Effect.map(keyOf(directory, node), (key) => [node, key] as const),
      { concurrency: 4 }
    )
    return new Map(pairs)
  })
