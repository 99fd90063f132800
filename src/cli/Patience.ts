/** How long a command waits for a relay that takes its connection and says nothing. */
import { HttpClient, HttpClientError } from "@effect/platform"
import { Data, Duration, Effect } from "effect"

/** For an answer's head. A relay sends it at once, also where what follows takes its time. */
const patience = Duration.seconds(60)

/** What is said of such a relay, behind its address. */
export const message = `does not answer (${Duration.toSeconds(patience)} s)`

class Silent extends Data.TaggedError("Silent")<{ readonly message: string }> {}

/** The same client, each of whose requests is given up so long after it was sent. An upload takes what it takes. */
export const limited = (client: HttpClient.HttpClient): HttpClient.HttpClient =>
  HttpClient.transform(client, (answer, request) =>
    request.body._tag === "Stream"
      ? answer
      : Effect.timeoutFail(answer, {
          duration: patience,
          onTimeout: () =>
            new HttpClientError.RequestError({
              request,
              reason: "Transport",
              cause: new Silent({ message })
            })
        })
  )
