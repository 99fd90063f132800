import { describe, expect, it } from "@effect/vitest"
import * as ServingRelay from "../../../src/cli/check/ServingRelay.ts"

describe("a relay's command line", () => {
  it.each([
    [["node", "main.cjs", "serve"], "/usual"],
    [["node", "main.cjs", "-c", "/etc/relay"], "/etc/relay"],
    [["node", "main.cjs", "serve", "--config", "here"], "here"],
    [["node", "main.cjs", "serve", "--config=a=b"], "a=b"],
    [["node", "main.cjs", "sandbox"], "sandbox"],
    [["node", "main.cjs", "-c", "sandbox"], "sandbox"],
    [["node", "main.cjs", "serve", "-c", "a/sandbox"], "a/sandbox"],
    [["node", "main.cjs", "sandbox", "--directory", "/tmp/toys"], "/tmp/toys"],
    [["node", "main.cjs", "sandbox", "--directory=toys"], "toys"],
    [["node", "main.cjs", "-c"], "/usual"]
  ])("%j names the folder %s", (args, folder) => {
    expect(ServingRelay.folderIn(args, "/usual")).toBe(folder)
  })
})
