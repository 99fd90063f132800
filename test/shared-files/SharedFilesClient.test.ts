/** The client that the API definition gives, and what it makes of the answers about shared files. */
import { HttpApiClient, HttpClient, HttpClientResponse } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { RelayApi } from "../../src/index.ts"

interface Answer {
  readonly status: number
  readonly body?: unknown
}

/** What the relay answers everything with. */
let answer: Answer = { status: 200 }

/** To derive it from the API takes longer than a hundred calls. */
const client = HttpApiClient.make(RelayApi, { baseUrl: "http://relay" }).pipe(
  Effect.provideService(
    HttpClient.HttpClient,
    HttpClient.make((request) =>
      Effect.sync(() => {
        const { status, body } = answer
        const text = body === undefined ? null : JSON.stringify(body)
        return HttpClientResponse.fromWeb(request, new Response(text, { status }))
      })
    )
  ),
  Effect.cached,
  Effect.runSync
)

/** The client of a relay that answers everything like this. */
const answering = (status: number, body?: unknown) =>
  Effect.suspend(() => {
    answer = { status, body }
    return client
  })

const path = { target_uuid: "b", file_id: "file" }
const olderPath = { target: "b", source: "a", file_id: "file" }
const payload = Buffer.from("content")

const asking = (status: number) =>
  Effect.gen(function* () {
    const { sharedFiles } = yield* answering(status)
    return [
      yield* Effect.either(sharedFiles.check({ path, urlParams: { "source-uuid": "a", hash: "00" } })),
      yield* Effect.either(sharedFiles.head({ path: olderPath, urlParams: { hash: "00" } }))
    ]
  })

const sending = (status: number, body: unknown) =>
  Effect.gen(function* () {
    const { sharedFiles } = yield* answering(status, body)
    return [
      yield* Effect.either(
        sharedFiles.share({ path, payload, urlParams: { "source-uuid": "a", signature: "00" } })
      ),
      yield* Effect.either(sharedFiles.put({ path: olderPath, payload, urlParams: {} }))
    ]
  })

const both = (one: unknown) => [one, one]
const refusals = Array.from({ length: 100 }, (_, n) => 400 + n).filter(
  (status) => ![401, 407, 408, 429].includes(status)
)

describe("a HEAD", () => {
  it.effect("that says 200 or 404 is answered with a value", () =>
    Effect.gen(function* () {
      expect(yield* asking(200)).toMatchObject(both({ _tag: "Right", right: "here" }))
      expect(yield* asking(404)).toMatchObject(both({ _tag: "Right", right: "absent" }))
    })
  )

  it.effect("that says another thing fails with what that status means", () =>
    Effect.gen(function* () {
      const meanings = [
        [400, "InvalidRequest"],
        [500, "StorageError"],
        [503, "TooBusy"]
      ] as const
      for (const [status, _tag] of meanings)
        expect(yield* asking(status)).toMatchObject(both({ _tag: "Left", left: { _tag } }))
      for (const status of refusals.filter((one) => one !== 400 && one !== 404))
        expect(yield* asking(status)).toMatchObject(
          both({ _tag: "Left", left: { _tag: "UpstreamRejected", status } })
        )
    })
  )
})

describe("an upload", () => {
  it.effect("that the policy server refuses fails with that, whatever 4xx it was", () =>
    Effect.gen(function* () {
      for (const status of refusals)
        expect(
          yield* sending(status, { _tag: "UpstreamRejected", message: "not this one", status })
        ).toMatchObject(
          both({ _tag: "Left", left: { _tag: "UpstreamRejected", message: "not this one", status } })
        )
    })
  )

  it.effect("that this relay refuses fails with its own error", () =>
    Effect.gen(function* () {
      const own = [
        [400, { _tag: "InvalidRequest", message: "no" }],
        [403, { _tag: "BadSignature", reason: "stale", message: "no" }],
        [403, { _tag: "AccessDenied", message: "no" }],
        [404, { _tag: "UnknownTarget", message: "no", target: "b" }],
        [413, { _tag: "PayloadTooLarge", message: "no", limit: 1 }],
        [507, { _tag: "StorageFull", message: "no" }]
      ] as const
      for (const [status, error] of own)
        expect(yield* sending(status, error)).toMatchObject(both({ _tag: "Left", left: error }))
    })
  )
})
