import { monitorEventLoopDelay } from "node:perf_hooks"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Either, FastCheck, Option } from "effect"
import { parse } from "../../src/topology/NodesListFile.ts"

const parsed = (text: string | Uint8Array) => Effect.runPromise(Effect.either(parse(Buffer.from(text))))

const nodesOf = async (text: string) =>
  Either.getOrThrowWith(await parsed(text), (error) => new Error(error.message)).nodes

const entry = FastCheck.record({
  hostname: FastCheck.string(),
  "policy-server": FastCheck.constantFrom("root", "relay-1", "a.b_c"),
  "key-hash": FastCheck.option(FastCheck.string({ minLength: 1 }), { nil: undefined })
})
const nodeId = FastCheck.stringMatching(/^[A-Za-z0-9_-]{1,12}$/)

describe("a nodes list", () => {
  it("is read as JSON.parse reads it, however it is spaced", () =>
    FastCheck.assert(
      FastCheck.asyncProperty(
        FastCheck.dictionary(nodeId, entry),
        FastCheck.constantFrom(0, 2, "\t"),
        async (list, space) => {
          const nodes = await nodesOf(JSON.stringify(list, null, space))
          expect([...nodes.keys()]).toEqual(Object.keys(list))
          for (const [id, { hostname, ...rest }] of Object.entries(list))
            expect(nodes.get(id)).toEqual({
              id,
              hostname,
              policyServer: rest["policy-server"],
              keyHash: Option.fromNullable(rest["key-hash"])
            })
        }
      )
    ))

  it("of any text is read exactly where it is a JSON object", () =>
    FastCheck.assert(
      FastCheck.asyncProperty(
        FastCheck.array(
          FastCheck.constantFrom("{", "}", '"', ",", ":", "a", '"a":{}', "\\", " ", "[", "]", "1"),
          { maxLength: 12 }
        ),
        async (parts) => {
          const text = parts.join("")
          let value: unknown
          try {
            value = JSON.parse(text)
          } catch {
            value = undefined
          }
          const isObject = typeof value === "object" && value !== null && !Array.isArray(value)
          expect(Either.isRight(await parsed(text))).toBe(isObject)
        }
      ),
      { numRuns: 1000 }
    ))

  it("drops a bad entry alone", async () => {
    const list = {
      good: { hostname: "good", "policy-server": "root" },
      nothing: null,
      text: "text",
      noHostname: { "policy-server": "root" },
      number: { hostname: 7, "policy-server": "root" },
      badServer: { hostname: "x", "policy-server": "../x" },
      "../../etc": { hostname: "x", "policy-server": "root" },
      "": { hostname: "x", "policy-server": "root" },
      after: { hostname: "after", "policy-server": "root", "key-hash": "", more: 1 }
    }
    const result = Either.getOrThrow(await parsed(JSON.stringify(list)))
    expect([...result.nodes.keys()]).toEqual(["good", "after"])
    expect(result.bad.count).toBe(7)
    expect(result.nodes.get("after")?.keyHash).toEqual(Option.none())
  })

  it("has no magic ids", async () => {
    const nodes = await nodesOf(
      '{"__proto__":{"hostname":"p","policy-server":"root"},"constructor":{"hostname":"c","policy-server":"root"}}'
    )
    expect([...nodes.values()].map(({ hostname }) => hostname)).toEqual(["p", "c"])
    expect(nodes.get("toString")).toBeUndefined()
  })

  it("that is cut off, or not UTF-8, is refused", async () => {
    for (const text of [
      "",
      "{",
      '{"a":{"hostname":"a","policy-server":"root"},',
      '{"a":1}}',
      '{"a":1},',
      '{"a":1} x',
      "[]"
    ])
      expect(Either.isLeft(await parsed(text))).toBe(true)
    expect(Either.getLeft(await parsed(Buffer.from('{"\xff":1}', "latin1")))).toMatchObject(
      Option.some({ _tag: "NodesListSyntaxError", message: "not UTF-8" })
    )
  })

  it("of 100,000 nodes is read in pieces: other work gets its turn hundreds of times", async () => {
    const hash = `sha256:${"ab".repeat(32)}`
    const list = Object.fromEntries(
      Array.from({ length: 100_000 }, (_, i) => [
        `00000000-0000-4000-8000-${String(i).padStart(12, "0")}`,
        { hostname: `node${i}.example.com`, "policy-server": "root", "key-hash": hash }
      ])
    )
    const bytes = Buffer.from(JSON.stringify(list))
    const delay = monitorEventLoopDelay({ resolution: 1 })
    let turns = 0
    let counting = setImmediate(function next() {
      turns++
      counting = setImmediate(next)
    })
    delay.enable()
    const begun = performance.now()
    const { nodes } = await Effect.runPromise(parse(bytes))
    const took = performance.now() - begun
    delay.disable()
    clearImmediate(counting)
    console.log(
      `100,000 nodes, ${(bytes.length / 1e6).toFixed(0)} MB: ${took.toFixed(0)} ms, event loop held up ${(delay.max / 1e6).toFixed(0)} ms at most`
    )
    expect(nodes.size).toBe(100_000)
    // How long is a matter of the machine, and of the benchmark; that it is done in pieces is not.
    expect(turns).toBeGreaterThan(bytes.length / (256 * 1024) / 2)
  })
})
