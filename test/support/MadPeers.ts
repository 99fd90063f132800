/** Ways in which a peer can fail to answer: none of them may keep anybody waiting. */
import type * as Net from "node:net"
import { whileOpen } from "./RawServer.ts"

export interface MadPeer {
  readonly what: string
  readonly connection: (socket: Net.Socket) => void
}

const read = (socket: Net.Socket, act: () => void) => {
  socket.resume()
  socket.once("data", act)
}

/** Never a whole answer, whatever the request is. */
export const madPeers: ReadonlyArray<MadPeer> = [
  { what: "closes at once", connection: (socket) => socket.destroy() },
  { what: "resets at once", connection: (socket) => socket.resetAndDestroy() },
  { what: "closes when it has read", connection: (socket) => read(socket, () => socket.destroy()) },
  { what: "ends its side when it has read", connection: (socket) => read(socket, () => socket.end()) },
  { what: "never reads", connection: (socket) => socket.pause() },
  { what: "reads and never answers", connection: (socket) => socket.resume() },
  {
    what: "says 101 and goes on in another protocol",
    connection: (socket) =>
      read(socket, () => {
        socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nx")
      })
  },
  {
    what: "says 101 without an upgrade",
    connection: (socket) => read(socket, () => socket.write("HTTP/1.1 101 Switching Protocols\r\n\r\n"))
  },
  {
    what: "says 100 for ever",
    connection: (socket) =>
      read(socket, () => whileOpen(socket, () => socket.write("HTTP/1.1 100 Continue\r\n\r\n")))
  },
  {
    what: "says 103 for ever, and reads nothing",
    connection: (socket) => {
      socket.pause()
      whileOpen(socket, () => socket.write("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"))
    }
  },
  {
    what: "stops in the middle of its headers",
    connection: (socket) => read(socket, () => socket.write("HTTP/1.1 200 OK\r\nContent-Le"))
  },
  {
    what: "never ends its headers",
    connection: (socket) =>
      read(socket, () => {
        socket.write("HTTP/1.1 200 OK\r\nX: ")
        whileOpen(socket, () => socket.write("x"))
      })
  },
  {
    what: "has enormous headers",
    connection: (socket) =>
      read(socket, () => socket.write(`HTTP/1.1 200 OK\r\n${"X: ".padEnd(1 << 20, "x")}\r\n\r\n`))
  },
  { what: "answers nonsense", connection: (socket) => socket.end("nonsense\r\n\r\n") },
  {
    what: "answers nothing but noise",
    connection: (socket) => read(socket, () => socket.write(Buffer.alloc(4096, 0xff)))
  },
  {
    what: "says two lengths",
    connection: (socket) =>
      read(socket, () => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok"))
  }
]

/** A 200 whose body never comes to its end. A HEAD has no body, and so they answer that. */
export const endlessBodies: ReadonlyArray<MadPeer> = [
  {
    what: "says a byte of its body now and then, for ever",
    connection: (socket) =>
      read(socket, () => {
        socket.write("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        whileOpen(socket, () => socket.write("x"))
      })
  },
  {
    what: "says neither how long its body is, nor that it is over",
    connection: (socket) => read(socket, () => socket.write("HTTP/1.1 200 OK\r\n\r\nok"))
  },
  {
    what: "stops in the middle of its body",
    connection: (socket) =>
      read(socket, () => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"))
  },
  {
    what: "closes in the middle of its body",
    connection: (socket) =>
      read(socket, () => {
        socket.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel")
        setImmediate(() => socket.destroy())
      })
  },
  {
    what: "resets in the middle of its body",
    connection: (socket) =>
      read(socket, () => {
        socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n")
        setImmediate(() => socket.resetAndDestroy())
      })
  }
]
