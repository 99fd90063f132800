/**
 * Memory for what is read of small files, which is used soon and not kept: some of it keeps all of its slab. Of more than
 * 4 KiB each piece of node's own pool is memory that the system is asked for, and that the collector has to give back.
 */

/** Bytes. */
const slabLength = 64 * 1024

/** What is longer has memory of its own. Bytes. */
const mostShared = slabLength / 4

let slab = Buffer.alloc(0)
let used = 0

/** Memory for so many bytes, in which there may be anything. */
export const take = (length: number): Buffer => {
  if (length > mostShared) return Buffer.allocUnsafeSlow(length)
  if (used + length > slab.length) {
    slab = Buffer.allocUnsafeSlow(slabLength)
    used = 0
  }
  const taken = slab.subarray(used, used + length)
  used += length
  return taken
}
