import { assert, describe, it } from "@effect/vitest"
import { FastCheck as fc } from "effect"
import * as Protocol from "../../../src/remote-run/agents/SpawnerProtocol.ts"

const request: Protocol.SpawnRequest = {
  program: "/bin/agent",
  parameters: ["remote", "run"],
  cookie: "cookie",
  mark: undefined,
  stdout: "/fifos/out",
  stderr: "/fifos/err"
}

describe("what is said to the process that starts agents", () => {
  it("has its length before it, and NULs between its fields", () => {
    const message = Protocol.start(7, { ...request, parameters: ["--", "é"] })
    assert.strictEqual(message.readUInt32BE(0), message.length - 4)
    assert.deepStrictEqual(message.toString("utf8", 4).split("\0"), [
      ...["start", "7", "cookie", "", "/fifos/out", "/fifos/err", "/bin/agent"],
      ...["--", "é"]
    ])
  })

  it("can't be a command line with a NUL in it", () => {
    assert.isTrue(Protocol.isSayable(request))
    assert.isFalse(Protocol.isSayable({ ...request, program: "/bin/\0agent" }))
    assert.isFalse(Protocol.isSayable({ ...request, parameters: ["a", "b\0c"] }))
  })
})

describe("its answers", () => {
  const text = "P 0\nP 6\nS 1 4711\nE 1 0\nS 2 4712\nK 2 9\nK 5 6\nF 3 2 spawn /bin/no such\nE 4 137\n"

  it("say how an agent started and ended, in the system's own words", () => {
    const answers = new Protocol.Answers().push(text)
    assert.deepStrictEqual(
      answers.map((answer) => {
        if (answer._tag === "Ended") return { ...answer.exit, id: answer.id }
        if (answer._tag === "Failed")
          return { id: answer.id, code: answer.failure.code, syscall: answer.failure.syscall }
        return answer
      }),
      [
        { _tag: "Here", id: 0 },
        { _tag: "Here", id: 6 },
        { _tag: "Started", id: 1, pid: 4711 },
        { id: 1, code: 0, signal: null },
        { _tag: "Started", id: 2, pid: 4712 },
        { id: 2, code: null, signal: "SIGKILL" },
        { id: 5, code: null, signal: "SIGABRT" },
        { id: 3, code: "ENOENT", syscall: "spawn /bin/no such" },
        { id: 4, code: 137, signal: null }
      ]
    )
  })

  it.prop("are the same in whatever pieces they come", [fc.array(fc.nat(text.length))], ([cuts]) => {
    const answers = new Protocol.Answers()
    const places = [0, ...[...cuts].sort((a, b) => a - b), text.length]
    const found = places.slice(1).flatMap((to, index) => answers.push(text.slice(places[index], to)))
    assert.deepStrictEqual(
      found.map(({ _tag, id }) => [_tag, id]),
      new Protocol.Answers().push(text).map(({ _tag, id }) => [_tag, id])
    )
  })
})
