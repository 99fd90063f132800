/** How often a header came: node keeps the first of some, joins others, and says nothing of either. */
import { IncomingMessage } from "node:http"
import type { HttpServerRequest } from "@effect/platform"

/** None where the request was served by another server than node's, which does not tell. @param name in lower case */
export const of = (name: string, { source }: HttpServerRequest.HttpServerRequest): number => {
  if (!(source instanceof IncomingMessage)) return 0
  const { rawHeaders } = source
  let times = 0
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const found = rawHeaders[at]
    if (found?.length === name.length && found.toLowerCase() === name) times++
  }
  return times
}
