/**
 * A FIFO that one agent after the other prints to, and what node reads it with: to make that anew for each was a fifth of
 * what the relay's own process does for an agent that prints a line.
 */
import * as fs from "node:fs"
import { type ConnectOpts, Socket, type SocketConstructorOpts } from "node:net"
import * as SpawnFailure from "./SpawnFailure.ts"

/** Who what is printed is for. */
export interface FifoReader {
  /** Bytes that are the callee's only until it returns. False: no more until the FIFO's `resume`. */
  readonly take: (bytes: Buffer) => boolean
  /** Nothing more comes: nobody has it open for writing any more, or else it is closed. */
  readonly over: (atEnd: boolean) => void
}

/** All FIFOs are read into this buffer: what was read is handed on before the next read, and whoever keeps it copies it. */
const buffer = Buffer.allocUnsafeSlow(64 * 1024)

/** Its end is not the socket's: a pipe that somebody opens for writing again can be read again. */
class FifoSocket extends Socket {
  private readonly onEnd: () => void

  constructor(fd: number, take: (bytes: Buffer) => boolean, onEnd: () => void) {
    const callback = (length: number) => take(buffer.subarray(0, length))
    const options: SocketConstructorOpts & ConnectOpts = {
      fd,
      readable: true,
      writable: false,
      onread: { buffer, callback }
    }
    super(options)
    this.onEnd = onEnd
  }

  /** All that node says here is the end, as null: what is read goes into the buffer. */
  override push(): boolean {
    this.onEnd()
    return false
  }

  /** Behind an end, of which node thinks that it is still reading. */
  readAgain(): void {
    this.ref()
    this.pause()
    this.read(0)
  }
}

/** Opens a FIFO to read from it. Throws what `fs` throws. */
export const open = (path: string): number =>
  // Without O_NONBLOCK this waits for a writer, with it the writer finds its reader there.
  fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK)

/** One FIFO. */
export class Fifo {
  readonly path: string
  private fd: number | undefined
  private socket: FifoSocket | undefined
  private reader: FifoReader | undefined

  constructor(path: string) {
    this.path = path
  }

  get isOpen(): boolean {
    return this.fd !== undefined
  }

  /** Opens it, where it is not open. Throws what `fs` throws. */
  open(): void {
    this.fd ??= open(this.path)
  }

  /**
   * Reads it, until it is over. Its end is seen only once somebody has had it open for writing, and at once where that was
   * an agent before: so it is not to be read before this one has it.
   */
  read(reader: FifoReader): void {
    this.reader = reader
    if (this.socket !== undefined) this.socket.readAgain()
    else if (this.fd !== undefined) this.socket = this.socketOf(this.fd)
  }

  /** Whether somebody has it open for writing, or has written to it; what was written is handed on. For one that is not read yet. */
  isUsed(write: (bytes: Buffer) => void): boolean {
    if (this.fd === undefined) return false
    try {
      const length = fs.readSync(this.fd, buffer)
      if (length > 0) write(buffer.subarray(0, length))
      return length > 0
    } catch (cause) {
      return SpawnFailure.from(cause).code === "EAGAIN"
    }
  }

  resume(): void {
    this.socket?.resume()
  }

  /** Until it is read again, it does not keep the relay's process alive. */
  unref(): void {
    this.socket?.unref()
  }

  /** Read or not. */
  close(): void {
    const { fd, socket } = this
    this.fd = undefined
    this.socket = undefined
    if (socket !== undefined) socket.destroy()
    else if (fd !== undefined) fs.closeSync(fd)
    this.over(false)
  }

  private socketOf(fd: number): FifoSocket {
    const take = (bytes: Buffer) => this.reader?.take(bytes) ?? true
    const socket = new FifoSocket(fd, take, () => this.over(true))
    // A pipe that can't be read on has no more to say.
    socket.on("error", () => socket.destroy())
    socket.on("close", () => {
      if (this.socket === socket) this.close()
    })
    return socket
  }

  private over(atEnd: boolean): void {
    const { reader } = this
    this.reader = undefined
    reader?.over(atEnd)
  }
}

/** The FIFOs of one agent at a time. */
export class FifoPair {
  /** Where their files are. */
  readonly folder: string
  readonly stdout: Fifo
  readonly stderr: Fifo

  /** @param name what the paths of both begin with */
  constructor(folder: string, name: string) {
    this.folder = folder
    this.stdout = new Fifo(`${name}.out`)
    this.stderr = new Fifo(`${name}.err`)
  }

  get paths(): ReadonlyArray<string> {
    return [this.stdout.path, this.stderr.path]
  }

  get isOpen(): boolean {
    return this.stdout.isOpen && this.stderr.isOpen
  }

  /** Whether somebody has one of them open for writing, or has written to it. For one that is not read; what was written is dropped. */
  get isUsed(): boolean {
    return [this.stdout, this.stderr].some((fifo) => fifo.isUsed(() => {}))
  }

  /** Opens both, or none. Throws what `fs` throws. */
  open(): void {
    try {
      this.stdout.open()
      this.stderr.open()
    } catch (cause) {
      this.close()
      throw cause
    }
  }

  close(): void {
    this.stdout.close()
    this.stderr.close()
  }
}
