/** What can't be read is told from what is empty. */
import { closeSync, openSync } from "node:fs"
import { tmpdir } from "node:os"
import { describe, expect, it } from "@effect/vitest"
import * as StandardInput from "../../../src/cli/run/StandardInput.ts"

describe("stdin", () => {
  const opened = (path: string) => {
    const descriptor = openSync(path, "r")
    try {
      StandardInput.readable(descriptor)
    } finally {
      closeSync(descriptor)
    }
  }

  it("that is a folder is no empty list", () => {
    expect(() => opened(tmpdir())).toThrow("EISDIR")
    expect(() => opened("/dev/null")).not.toThrow()
  })
})
