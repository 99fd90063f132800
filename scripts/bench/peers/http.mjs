// The least that node can do for a request: its own server, one header, no decision.
import { createServer } from "node:http"

const body = '{"result":"success"}'
const server = createServer((_request, response) => {
  response.writeHead(200, { "content-type": "application/json", "content-length": body.length })
  response.end(body)
})
server.listen(0, "127.0.0.1", () => console.log(server.address().port))
process.once("SIGTERM", () => process.exit(0))
