// node health.mjs: exits with 0 where the relay of this machine answers, over HTTP or HTTPS, at the address that its environment
// says: what an image asks from time to time. An answer that is a refusal is one, too.
import { get as getHttp } from "node:http"
import { get as getHttps } from "node:https"

const listen = process.env.RUDDER_RELAY_GENERAL__LISTEN ?? "127.0.0.1:3030"
const [, host, port] = /^\[?(.*?)\]?:(\d+)$/.exec(listen) ?? []
/** Where a relay that listens everywhere can be reached. */
const near = { "0.0.0.0": "127.0.0.1", "::": "::1" }

const answers = (get) =>
  new Promise((resolve) => {
    // Nothing secret is said, and whose the certificate is does not matter here.
    const options = { host: near[host] ?? host, port, path: "/rudder/relay-api/system/info", timeout: 5000 }
    const request = get({ ...options, agent: false, rejectUnauthorized: false }, (answer) => {
      answer.resume()
      resolve(answer.statusCode < 500)
    })
    // A relay that wants a certificate of everybody ends the connection once it has met the caller.
    request.on("socket", (socket) => socket.once("secureConnect", () => resolve(true)))
    request.on("timeout", () => request.destroy())
    request.on("error", () => resolve(false))
  })

process.exit((await answers(getHttp)) || (await answers(getHttps)) ? 0 : 1)
