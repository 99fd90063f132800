// Preloaded into the built program (NODE_OPTIONS=--import): holds its start at one moment until the test lets it go, or
// asks it something in the very moment in which it listens. RELAY_TEST_MOMENT says which, RELAY_TEST_FILE where to tell.
import fs from "node:fs"
import { syncBuiltinESMExports } from "node:module"
import net from "node:net"

const file = process.env.RELAY_TEST_FILE
const moment = process.env.RELAY_TEST_MOMENT

/** Says that the moment is there, and waits for the test's word. */
const held = () => {
  fs.writeFileSync(`${file}.held`, "")
  return new Promise((resolve) => {
    const timer = setInterval(() => {
      if (!fs.existsSync(`${file}.go`)) return
      clearInterval(timer)
      resolve(undefined)
    }, 5)
  })
}

if (moment === "configuration") {
  const { readFile } = fs
  fs.readFile = (path, ...rest) => {
    if (!String(path).endsWith("main.conf")) return readFile(path, ...rest)
    held().then(() => readFile(path, ...rest))
  }
  syncBuiltinESMExports()
}

const { listen } = net.Server.prototype
if (moment === "listen")
  net.Server.prototype.listen = function (...args) {
    held().then(() => listen.apply(this, args))
    return this
  }

if (moment === "listening")
  net.Server.prototype.listen = function (...args) {
    this.once("listening", () => {
      const socket = net.connect(this.address().port, "127.0.0.1")
      let answer = ""
      socket.on("data", (bytes) => {
        answer += bytes
      })
      socket.on("error", () => {})
      socket.on("close", () => fs.writeFileSync(file, answer))
      socket.write(
        "GET /rudder/relay-api/system/info HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
      )
    })
    return listen.apply(this, args)
  }
