/** What is said when a relay could not be asked, or refused. */
import { describe, expect, it } from "@effect/vitest"
import * as RelayProblem from "../../src/cli/RelayProblem.ts"
import { RelayUnreachable, UnexpectedAnswer } from "../../src/client/ClientError.ts"
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
    expect(said(new UnexpectedAnswer({ status: 502, message: "answered 502: Bad Gateway" }))).toContain(
      `${url} answered 502: Bad Gateway`
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
  })
})
