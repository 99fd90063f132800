/** What can be said to the program, as the build has it. */
import { expect, it } from "@effect/vitest"
import { tree } from "../../src/cli/ProgramTree.ts"

it("is data: written as JSON, it is the same", () => {
  expect(JSON.parse(JSON.stringify(tree))).toStrictEqual(tree)
})
