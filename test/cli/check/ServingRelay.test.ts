import { describe, expect, it } from "@effect/vitest"
import * as ServingRelay from "../../../src/cli/check/ServingRelay.ts"

describe("a relay's command line", () => {
  it.each([
    [["node", "main.js", "serve"], "/usual"],
    [["node", "main.js", "-c", "/etc/relay"], "/etc/relay"],
    [["node", "main.js", "serve", "--config", "here"], "here"],
    [["node", "main.js", "serve", "--config=a=b"], "a=b"],
    [["node", "main.js", "sandbox"], "sandbox"],
    [["node", "main.js", "-c", "sandbox"], "sandbox"],
    [["node", "main.js", "serve", "-c", "a/sandbox"], "a/sandbox"],
    [["node", "main.js", "sandbox", "--directory", "/tmp/toys"], "/tmp/toys"],
    [["node", "main.js", "sandbox", "--directory=toys"], "toys"],
    [["node", "main.js", "-c"], "/usual"]
  ])("%j names the folder %s", (args, folder) => {
    expect(ServingRelay.folderIn(args, "/usual")).toBe(folder)
  })
})
