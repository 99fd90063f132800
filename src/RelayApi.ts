/** The relay API: one definition that gives the routes, their decoding, typed errors, OpenAPI and the typed client. */
import { HttpApi, OpenApi } from "@effect/platform"
import { base, versionedBase } from "./http/BasePath.ts"
import { AccessDenied, InvalidRequest, MethodNotAllowed, NotFound, PayloadTooLarge } from "./RelayError.ts"
import { RemoteRunApi } from "./remote-run/RemoteRunApi.ts"
import { SharedFilesApi } from "./shared-files/SharedFilesApi.ts"
import { SharedFolderApi } from "./shared-folder/SharedFolderApi.ts"
import { SystemApi } from "./system/SystemApi.ts"

/** OpenAPI has no wildcards: there, the rest of a path is a parameter like any other. */
const withNamedRest = (spec: Record<string, unknown>): Record<string, unknown> =>
  JSON.parse(
    JSON.stringify(spec)
      .replaceAll('"/shared-folder/*"', '"/shared-folder/{path}"')
      .replaceAll('"name":"*"', '"name":"path"')
  )

/** Every route of the relay: its schemas, errors and statuses, who may ask, and whether it has an effect. */
export class RelayApi extends HttpApi.make("rudder-relay")
  .add(RemoteRunApi)
  .add(SharedFilesApi)
  .add(SharedFolderApi)
  .add(SystemApi)
  .addError(InvalidRequest)
  .addError(AccessDenied)
  .addError(NotFound)
  .addError(MethodNotAllowed)
  .addError(PayloadTooLarge)
  .annotate(OpenApi.Title, "Rudder relay API")
  .annotate(OpenApi.Transform, withNamedRest)
  .annotate(OpenApi.Servers, [
    { url: base },
    { url: versionedBase, description: "the same, for existing callers" }
  ]) {}
