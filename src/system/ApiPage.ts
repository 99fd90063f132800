/**
 * The API's description as a page: Swagger UI, as the platform brings it, with the description and all that it needs in
 * the page itself. Its policy lets the browser run these scripts alone, and ask nobody but this relay.
 */
import { createHash } from "node:crypto"
import { type HttpApi, HttpLayerRouter, HttpServerRequest } from "@effect/platform"
import { Effect } from "effect"

const sourcesOf = (html: string, element: "script" | "style"): string =>
  [...html.matchAll(new RegExp(`<${element}>([\\s\\S]*?)</${element}>`, "g"))]
    .map(([, text = ""]) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`)
    .join(" ")

const policyOf = (html: string): string =>
  [
    "default-src 'none'",
    `script-src ${sourcesOf(html, "script")}`,
    `style-src ${sourcesOf(html, "style")}`,
    // Swagger UI's pictures are in its styles.
    "img-src data:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'"
  ].join("; ")

/** Where the platform puts the page. */
const path = "/docs"

/**
 * The page of an API, for a request of it. Swagger UI is two megabytes, which are loaded when the page is first asked
 * for: few ask for it, and seldom. The platform has the page only as a route, so it is asked of a router that has no other.
 */
export const make = (api: HttpApi.HttpApi.Any) =>
  Effect.gen(function* () {
    const { layerHttpLayerRouter } = yield* Effect.promise(() => import("@effect/platform/HttpApiSwagger"))
    const request = yield* HttpServerRequest.HttpServerRequest
    const app = yield* HttpLayerRouter.toHttpEffect(layerHttpLayerRouter({ api, path }))
    const { body } = yield* Effect.provideService(
      app,
      HttpServerRequest.HttpServerRequest,
      request.modify({ url: path })
    )
    const html = body._tag === "Uint8Array" ? new TextDecoder().decode(body.body) : ""
    return { html, policy: policyOf(html) }
  }).pipe(Effect.scoped, Effect.orDie)
