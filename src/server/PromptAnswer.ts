/**
 * Answers whose bytes are all there: they are written as soon as they are given. The platform would wait, in the request's
 * fiber, until node has handed them to the system, which a request that is answered at once need not wait for.
 */
import { Cookies, HttpApp, HttpServerRequest, type HttpServerResponse } from "@effect/platform"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import { Context, Effect } from "effect"

type Body = HttpServerResponse.HttpServerResponse["body"]

const isThere = ({ _tag }: Body): boolean => _tag === "Empty" || _tag === "Uint8Array"

const write = (
  request: HttpServerRequest.HttpServerRequest,
  { body, cookies, headers, status }: HttpServerResponse.HttpServerResponse
): void => {
  const response = NodeHttpServerRequest.toServerResponse(request)
  if (!isThere(body) || !Cookies.isEmpty(cookies) || response.writableEnded) return
  response.writeHead(status, headers)
  if (body._tag === "Uint8Array" && request.method !== "HEAD") response.end(body.body)
  else response.end()
}

/** The app, over node's server, which finds such an answer written; what is not written here it writes itself. */
export const around = <E, R>(app: HttpApp.Default<E, R>): HttpApp.Default<E, R> =>
  Effect.withFiberRuntime((fiber) =>
    Effect.map(app, (response) => {
      // What an embedding program would have done to the answer last comes first.
      if (fiber.getFiberRef(HttpApp.currentPreResponseHandlers)._tag === "None")
        write(Context.unsafeGet(fiber.currentContext, HttpServerRequest.HttpServerRequest), response)
      return response
    })
  )
