/** A connection to a peer, on which the peer is heard out: also when it will take nothing more. */
import * as Net from "node:net"
import * as Tls from "node:tls"
import { Effect } from "effect"
import { type PeerUnreachable, text, unreachable } from "./PeerUnreachable.ts"

/** How long one of several addresses of a name is tried before the next: node's own 250 ms are short for a far site. */
const addressMillis = 2500
/** After so much silence the kernel asks whether the peer is still there. */
const keepAliveMillis = 30_000
/** After a failed write, so long the answer is read on: it is in the kernel already. */
const lastWordMillis = 1000

/** The host of a URL as a socket wants it: an IPv6 address without brackets. */
export const hostOf = (url: URL): string => url.hostname.replace(/^\[(.*)\]$/, "$1")

/** For errors that need no handling: the request on the socket has them too, or there is none. */
const ignoreError = () => {}

/**
 * @param tls undefined: plain TCP
 * @param making told of the socket as soon as there is one: whoever gives up later has to end it
 */
export const open = (
  url: URL,
  tls: Tls.ConnectionOptions | undefined,
  making: (socket: Net.Socket) => void
) =>
  Effect.async<Net.Socket, PeerUnreachable>((resume) => {
    const address = {
      host: hostOf(url),
      port: Number(url.port || (tls === undefined ? 80 : 443)),
      autoSelectFamilyAttemptTimeout: addressMillis
    }
    const refused = (error: Error) =>
      resume(
        unreachable(isCertificateError(error) ? "certificate" : "connection", `${url.host}: ${text(error)}`)
      )
    const closed = () => refused(new Error("the connection was closed"))
    let socket: Net.Socket
    try {
      socket = tls === undefined ? Net.connect(address) : Tls.connect({ ...tls, ...address })
    } catch (error) {
      // The certificate that this relay itself should show is none, or the key is another's.
      refused(error instanceof Error ? error : new Error(String(error)))
      return
    }
    making(socket)
    socket.on("error", ignoreError)
    socket.once("error", refused)
    socket.once("close", closed)
    socket.once(tls === undefined ? "connect" : "secureConnect", () => {
      socket.off("error", refused).off("close", closed)
      socket.setNoDelay(true).setKeepAlive(true, keepAliveMillis)
      hearOut(socket)
      resume(Effect.succeed(socket))
    })
    return Effect.sync(() => {
      socket.destroy()
    })
  })

/** Node's codes for a chain or a name that does not hold: none of them begins with E followed by a system error's name. */
const isCertificateError = (error: Error): boolean =>
  "code" in error &&
  typeof error.code === "string" &&
  /^(ERR_TLS_CERT_|ERR_OSSL_|CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|INVALID_CA|PATH_LENGTH_|HOSTNAME_MISMATCH)/.test(
    error.code
  )

/**
 * A peer may answer and close before it has read all. The next write then fails, and node ends a socket whose write
 * failed, though the answer stands unread in the kernel. So a write that fails just stays undone: what the peer said
 * last is read, up to the end that the kernel reports behind it.
 */
export const hearOut = (socket: Net.Socket): void => {
  let failed = false
  const orStay = (done: (error?: Error | null) => void) => (error?: Error | null) => {
    if (error === undefined || error === null || socket.destroyed) return done(error)
    if (failed) return
    failed = true
    const end = () => {
      socket.destroy(error)
    }
    if (socket.readableEnded) return end()
    const waiting = setTimeout(end, lastWordMillis)
    socket.once("end", end).once("close", () => clearTimeout(waiting))
  }
  const write = socket._write.bind(socket)
  const writev = socket._writev?.bind(socket)
  socket._write = (piece, encoding, done) => write(piece, encoding, orStay(done))
  if (writev === undefined) return
  socket._writev = (pieces, done) => {
    // Node ends each message with an empty piece: what it has besides goes out as it is where that is one.
    const [piece, ...more] = pieces.filter(({ chunk }) => chunk.length > 0)
    if (piece !== undefined && more.length === 0) write(piece.chunk, piece.encoding, orStay(done))
    else writev(pieces, orStay(done))
  }
}
