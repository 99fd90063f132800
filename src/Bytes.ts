/** Bytes as node's `Buffer`, which knows how to make text of them. */

/** The same memory as a `Buffer`: nothing is copied, a change of the one is seen in the other. */
export const bufferOf = ({ buffer, byteOffset, byteLength }: Uint8Array): Buffer =>
  Buffer.from(buffer, byteOffset, byteLength)
