// Requests over kept connections, written and read with as little work as can be, so that what answers is measured and
// not what asks.
import { connect } from "node:net"

/** A request as it goes over the line. */
export const request = (method, path, body = Buffer.alloc(0)) =>
  Buffer.concat([
    Buffer.from(
      `${method} ${path} HTTP/1.1\r\nHost: localhost\r\n${body.length > 0 ? `Content-Length: ${body.length}\r\n` : ""}\r\n`
    ),
    body
  ])

/** How many bytes of what came are the first answer; 0 while it is not whole. */
const answerEnd = (bytes, isHead) => {
  const head = bytes.indexOf("\r\n\r\n")
  if (head < 0) return 0
  const text = bytes.latin1Slice(0, head + 2)
  const status = text.slice(9, 12)
  if (status[0] !== "2") throw new Error(`${text}${bytes.subarray(head).toString()}`)
  if (isHead || status === "204") return head + 4
  const length = /\r\ncontent-length: *(\d+)/i.exec(text)
  if (length) {
    const end = head + 4 + Number(length[1])
    return bytes.length >= end ? end : 0
  }
  const last = bytes.indexOf("\r\n0\r\n\r\n", head + 2)
  return last < 0 ? 0 : last + 7
}

/**
 * Sends `count` requests, each connection one after the other.
 * @param requestOf the bytes of the request with this number
 */
export const load = (port, connections, count, requestOf) =>
  new Promise((resolve, reject) => {
    let sent = 0
    let answered = 0
    const sockets = Array.from({ length: connections }, () => {
      const socket = connect({ port, host: "127.0.0.1", noDelay: true })
      let bytes = Buffer.alloc(0)
      let isHead = false
      const next = () => {
        if (sent >= count) return
        const wanted = requestOf(sent++)
        isHead = wanted[0] === 0x48
        socket.write(wanted)
      }
      socket.on("connect", next)
      socket.on("error", reject)
      socket.on("close", () => answered < count && reject(new Error("a connection was closed")))
      socket.on("data", (chunk) => {
        try {
          bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk])
          const end = answerEnd(bytes, isHead)
          if (end === 0) return
          bytes = bytes.subarray(end)
          if (++answered < count) return next()
          for (const each of sockets) each.destroy()
          resolve()
        } catch (error) {
          reject(error)
        }
      })
      return socket
    })
  })
