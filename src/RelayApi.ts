/** The relay API: one definition that gives the routes, their decoding, typed errors, OpenAPI and the typed client. */
import { HttpApi, OpenApi } from "@effect/platform"
import { base, versionedBase } from "./http/BasePath.ts"
import * as Document from "./http/Document.ts"
import { AccessDenied, InternalError, MethodNotAllowed } from "./RelayError.ts"
import { RemoteRunApi } from "./remote-run/RemoteRunApi.ts"
import { RunStreamEvent } from "./remote-run/RunStreamEvent.ts"
import { SharedFilesApi } from "./shared-files/SharedFilesApi.ts"
import { SharedFolderApi } from "./shared-folder/SharedFolderApi.ts"
import { SystemApi } from "./system/SystemApi.ts"
import * as Version from "./system/Version.ts"

const description =
  "Remote runs of agents, signed files that nodes share, and the relay's own state. Who may call which route is decided " +
  "by the caller's address or client certificate, as the relay's configuration says. Every error is JSON: `_tag`, " +
  "`message`, and what else belongs to it."

/** Every route of the relay: its schemas, errors and statuses, who may ask, and whether it has an effect. */
export class RelayApi extends HttpApi.make("rudder-relay")
  .add(RemoteRunApi)
  .add(SharedFilesApi)
  .add(SharedFolderApi)
  .add(SystemApi)
  .addError(AccessDenied)
  .addError(MethodNotAllowed)
  .addError(InternalError)
  .annotate(HttpApi.AdditionalSchemas, [RunStreamEvent])
  .annotate(OpenApi.Title, "Rudder relay API")
  .annotate(OpenApi.Version, Version.full)
  .annotate(OpenApi.Description, description)
  .annotate(OpenApi.License, { name: "Apache-2.0", url: "https://www.apache.org/licenses/LICENSE-2.0" })
  .annotate(OpenApi.Transform, Document.complete)
  .annotate(OpenApi.Servers, [
    { url: base },
    { url: versionedBase, description: "The same; decides the dialect of remote runs for existing callers." }
  ]) {}
