/** The query of a request, with all its repetitions: the handlers decode it, since names have aliases and order counts. */
import type { HttpServerRequest } from "@effect/platform"

export const of = (request: HttpServerRequest.HttpServerRequest): URLSearchParams =>
  new URLSearchParams(request.url.includes("?") ? request.url.slice(request.url.indexOf("?") + 1) : "")
