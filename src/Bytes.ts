/** Bytes as node's `Buffer`, which knows how to make text of them. */

/** The same memory as a `Buffer`: nothing is copied, a change of the one is seen in the other. */
export const bufferOf = (bytes: Uint8Array): Buffer =>
  bytes instanceof Buffer ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
