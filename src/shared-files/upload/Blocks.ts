/**
 * Takes bytes, in order, to where they are used in large pieces. The few blocks of shared memory in between are used
 * again and again: buffers that come and go make the garbage collector work more than all the rest.
 */

/** Bytes. */
const blockSize = 512 * 1024
const most = 4

export class Blocks {
  private readonly free: Array<Uint8Array> = []
  private made = 0
  private block: Uint8Array | undefined
  private used = 0
  /** What did not fit when it came. */
  private waiting: Array<Uint8Array> = []
  private passed: Promise<unknown> = Promise.resolve()
  private readonly use: (block: Uint8Array) => Promise<void>
  private readonly size: number

  /**
   * @param use what is done with a full block; when it resolves, the block may be overwritten
   * @param expected bytes that will come, where that is known
   */
  constructor(use: (block: Uint8Array) => Promise<void>, expected: number = blockSize) {
    this.use = use
    this.size = Math.max(1, Math.min(blockSize, expected))
  }

  /** Whether more may come; if not, `onRoom` of `push` tells when. */
  get hasRoom(): boolean {
    return this.waiting.length === 0
  }

  /** `onRoom`: called when what is pushed here has found a place after all. `onError`: a use has failed. */
  push(bytes: Uint8Array, onRoom: () => void, onError: (cause: unknown) => void): void {
    this.waiting.push(bytes)
    this.fill(onRoom, onError)
  }

  /** What is in the last block, once all that was full has been used, what still waits for a place included. */
  async last(): Promise<Uint8Array> {
    for (let passed: unknown; passed !== this.passed; ) {
      passed = this.passed
      await passed
    }
    return (this.block ?? new Uint8Array()).subarray(0, this.used)
  }

  private fill(onRoom: () => void, onError: (cause: unknown) => void): void {
    for (let next = this.waiting[0]; next !== undefined; next = this.waiting[0]) {
      const block = this.next()
      if (block === undefined) return
      const count = Math.min(next.length, block.length - this.used)
      block.set(next.subarray(0, count), this.used)
      this.used += count
      if (count === next.length) this.waiting.shift()
      else this.waiting[0] = next.subarray(count)
      if (this.used === block.length) this.pass(block, onRoom, onError)
    }
  }

  /** A block with room in it; undefined: all are in use. */
  private next(): Uint8Array | undefined {
    if (this.block === undefined) {
      this.block = this.free.pop() ?? (this.made < most ? this.newBlock() : undefined)
      this.used = 0
    }
    return this.block
  }

  private newBlock(): Uint8Array {
    this.made++
    return new Uint8Array(new SharedArrayBuffer(this.size))
  }

  private pass(block: Uint8Array, onRoom: () => void, onError: (cause: unknown) => void): void {
    this.block = undefined
    this.used = 0
    const used = this.use(block).then(() => {
      this.free.push(block)
      const waited = !this.hasRoom
      this.fill(onRoom, onError)
      if (waited && this.hasRoom) onRoom()
    })
    this.passed = Promise.all([this.passed, used])
    // Where it fails nobody may ever ask for the last block; an error that nobody waits for would end the program.
    this.passed.catch(() => {})
    used.catch(onError)
  }
}
