/** What is said when a relay could not be asked, or refused. */
import { HttpClient, HttpClientResponse } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as RelayProblem from "../../src/cli/RelayProblem.ts"
import { RelayUnreachable, UnexpectedAnswer } from "../../src/client/ClientError.ts"
import { RelayClient } from "../../src/client/RelayClient.ts"
import { RunCutOff } from "../../src/client/RunStream.ts"
import { AccessDenied, InvalidRequest, TooBusy } from "../../src/RelayError.ts"

const url = "http://127.0.0.1:3030"
const said = (error: RelayProblem.RelayFailure) => {
  const { code, message } = RelayProblem.of(url)(error)
  expect(code).toBe(4)
  expect(message).not.toMatch(/[\n\u001b]/)
  return message
}

describe("what a relay's refusal, or silence, is told as", () => {
  it("is one line with what to do", () => {
    expect(
      said(new RelayUnreachable({ message: `POST ${url}/x: connect ECONNREFUSED 127.0.0.1:3030` }))
    ).toBe(
      `rudder-relay: no answer from ${url}: connect ECONNREFUSED 127.0.0.1:3030; is a relay running there? --url, or RUDDER_RELAY_URL, says where it is`
    )
    expect(said(new RelayUnreachable({ message: `GET ${url}: self-signed certificate` }))).toContain(
      "--cacert"
    )
    expect(said(new AccessDenied({ message: "10.0.0.1 may not" }))).toContain("access.policy_server")
    expect(said(new TooBusy({ message: "too many", retryAfterSeconds: 3 }))).toContain("try again in 3 s")
    expect(said(new UnexpectedAnswer({ status: 502, message: "answered 502: Bad Gateway" }))).toBe(
      `rudder-relay: ${url} answered 502: what is in front of the relay can't reach it`
    )
    expect(said(new InvalidRequest({ message: "classes: expected\nclasses" }))).toBe(
      `rudder-relay: ${url} refused: classes: expected\\nclasses`
    )
  })

  it("of a run whose stream was cut says how it is seen again", () => {
    expect(said(new RunCutOff({ message: "cut", run: "0190", events: 3 }))).toContain(
      "rudder-relay runs output 0190"
    )
    expect(said(new RunCutOff({ message: "cut", events: 0 }))).toContain("rudder-relay runs list")
    const cutOff = new RunCutOff({ message: "cut", run: "0190", events: 3 })
    expect(RelayProblem.of(url, " --url x --cacert y")(cutOff).message).toMatch(
      /rudder-relay runs output 0190 --url x --cacert y$/
    )
  })
})

describe("what is answered by something else than a relay", () => {
  const answering = (status: number, type: string, body: string) =>
    RelayClient.layer({ url }).pipe(
      Layer.provide(
        Layer.succeed(
          HttpClient.HttpClient,
          HttpClient.make((request) =>
            Effect.succeed(
              HttpClientResponse.fromWeb(
                request,
                new Response(body, { status, headers: { "content-type": type } })
              )
            )
          )
        )
      )
    )
  const page = "<html><body>Not here</body></html>"
  const noRelays = "which is no answer of a relay's; is it one, and not older than this program?"
  const cases: ReadonlyArray<readonly [number, string, string, string]> = [
    [404, "text/html; charset=utf-8", page, `answered 404 (text/html), ${noRelays}`],
    [403, "text/html", page, `answered 403 (text/html), ${noRelays}`],
    [404, "application/json", '{"_tag":"Other"}', `answered 404 (application/json), ${noRelays}`],
    [200, "text/html", page, `answered what can't be understood, ${noRelays}`],
    [
      200,
      "application/json",
      '{"nodes":[{"node":1}],"next":null}',
      `answered with a wrong nodes.0.node, ${noRelays}`
    ],
    [503, "text/html", page, "answered 503: what is in front of the relay can't reach it"]
  ]

  it.effect("is told in one short line, by a route", () =>
    Effect.gen(function* () {
      for (const [status, type, body, line] of cases) {
        const error = yield* RelayClient.pipe(
          Effect.flatMap(({ routes }) => routes.system.nodes({ urlParams: {} })),
          Effect.provide(answering(status, type, body)),
          Effect.flip
        )
        expect(said(error)).toBe(`rudder-relay: ${url} ${line}`)
      }
    })
  )

  it.effect("is told in one short line, by a run", () =>
    Effect.gen(function* () {
      for (const [status, line] of [
        [404, `answered 404 (text/html), ${noRelays}`],
        [200, `answered 200 (text/html): it is no preview, ${noRelays}`]
      ] as const) {
        const error = yield* RelayClient.pipe(
          Effect.flatMap((client) => client.preview({ nodes: "all" })),
          Effect.provide(answering(status, "text/html", page)),
          Effect.flip
        )
        expect(said(error)).toBe(`rudder-relay: ${url} ${line}`)
      }
    })
  )
})
