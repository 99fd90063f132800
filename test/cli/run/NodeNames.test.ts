/** Many names in few words, and back. */
import { describe, expect, it } from "@effect/vitest"
import { Either, FastCheck as fc } from "effect"
import { fold, sorted, unfold } from "../../../src/cli/run/NodeNames.ts"

const unfolded = (text: string) => Either.getOrThrow(unfold(text))

describe("names", () => {
  it("are folded by their numbers", () => {
    for (const [names, folded] of [
      [["web1", "db1", "web3", "web2"], "db1,web[1-3]"],
      [["web1", "web2", "web4"], "web[1-2,4]"],
      [["n1.example.com", "n2.example.com"], "n[1-2].example.com"],
      [["rack1node1", "rack1node2", "rack2node1", "rack2node2"], "rack[1-2]node[1-2]"],
      [["rack1node1", "rack1node2", "rack2node1"], "rack1node[1-2],rack2node1"],
      [["web08", "web09", "web10"], "web[08-10]"],
      [["web8", "web9", "web10"], "web[8-10]"],
      [["web98", "web99", "web100"], "web[98-100]"],
      [["web09", "web9"], "web[9,09]"],
      [["10.0.0.1", "10.0.0.2"], "10.0.0.[1-2]"],
      [["a", "a", "b"], "a,b"],
      [[], ""]
    ] as const)
      expect(fold(names)).toBe(folded)
  })

  it("that are ids of machines are left as they are", () => {
    const ids = ["019b8d1c-2600-7a64-9e7c-3f1f0c5f2b11", "019b8d1c-2600-7a64-9e7c-3f1f0c5f2b12"]
    expect(fold(ids)).toBe(ids.join(","))
  })

  it("that can't be unfolded are told of", () => {
    for (const text of ["web[1-", "web]", "web[]", "web[3-1]", "web[a]", "n[1-99999999]", "n[1-999]m[1-999]"])
      expect(Either.isLeft(unfold(text))).toBe(true)
    expect(unfolded("web[1-2,7],db")).toEqual(["web1", "web2", "web7", "db"])
  })

  const word = fc.constantFrom(
    "web",
    "db",
    "-",
    ".",
    "x",
    "0",
    "1",
    "9",
    "10",
    "08",
    "007",
    "100",
    "1234567890"
  )
  const name = fc.array(word, { minLength: 1, maxLength: 6 }).map((parts) => parts.join(""))
  const plain = fc.stringMatching(/^[A-Za-z0-9._-]{1,20}$/)

  it.prop(
    "are the same when they are unfolded again",
    [fc.array(fc.oneof(name, plain), { minLength: 1, maxLength: 60 })],
    ([names]) => {
      expect(sorted(unfolded(fold(names)))).toEqual(sorted(names))
      expect(unfolded(fold(names))).toHaveLength(new Set(names).size)
    }
  )
})
