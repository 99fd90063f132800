// The thread of `WorkerHasher.ts`, which has this text in it. It takes `{ id, algorithm }` to begin, `{ id, bytes }` in shared memory, answered by `{ id }`
// when it is done with them, `{ id, end: true }`, answered by `{ id, digest }`, and `{ id, forget: true }`.
import { createHash } from "node:crypto"
import { parentPort } from "node:worker_threads"

const hashes = new Map()

const handle = ({ id, algorithm, bytes, end }) => {
  if (algorithm !== undefined) return void hashes.set(id, createHash(algorithm))
  if (bytes !== undefined) {
    hashes.get(id)?.update(bytes)
    return parentPort.postMessage({ id })
  }
  if (end) parentPort.postMessage({ id, digest: hashes.get(id)?.digest() })
  hashes.delete(id)
}

parentPort.on("message", handle)
