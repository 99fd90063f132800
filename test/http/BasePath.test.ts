import { describe, expect, it } from "@effect/vitest"
import { originForm } from "../../src/http/BasePath.ts"

describe("a request's target", () => {
  it("is what it is in origin form, whatever it has in it", () => {
    for (const url of [
      "/",
      "/a?b=http://c/d",
      "//host/a",
      "*",
      "host:443",
      "/http://host/a",
      "ftp://host/a",
      ""
    ])
      expect(originForm(url)).toEqual({ url })
  })

  it("is path and query, and the host, in absolute form", () => {
    expect(originForm("http://host/a/b?c=d")).toEqual({ host: "host", url: "/a/b?c=d" })
    expect(originForm("HTTPS://[::1]:3030/a")).toEqual({ host: "[::1]:3030", url: "/a" })
    expect(originForm("http://host")).toEqual({ host: "host", url: "/" })
    expect(originForm("http://host?a=/b")).toEqual({ host: "host", url: "/?a=/b" })
    expect(originForm("http://host//a")).toEqual({ host: "host", url: "//a" })
    expect(originForm("http:///a")).toEqual({ host: "", url: "/a" })
  })
})
