import { HttpApi, HttpApiEndpoint, HttpApiGroup } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { AskedBy, HasEffect } from "../../src/access/RouteAccess.ts"
import { RelayApi } from "../../src/RelayApi.ts"
import * as RouteTable from "../../src/server/RouteTable.ts"

const table = RouteTable.make(RelayApi)

const endpoint = HttpApiEndpoint.get("read", "/things/:id")
const apiOf = (of: HttpApiEndpoint.HttpApiEndpoint.Any, annotate: boolean) => {
  const group = HttpApiGroup.make("things").add(of)
  return HttpApi.make("api").add(annotate ? group.annotate(AskedBy, "nodes") : group)
}

describe("the routes of the relay", () => {
  it.each<[path: string, expected: Array<string>]>([
    ["/remote-run/node/a", ["GET policyServer effect", "POST policyServer effect"]],
    ["/remote-run/nodes/a", ["POST policyServer effect"]],
    ["/remote-run/nodes", ["GET policyServer effect", "POST policyServer effect"]],
    ["/remote-run/all", ["GET policyServer effect", "POST policyServer effect"]],
    ["/remote-run/runs", ["GET policyServer"]],
    ["/remote-run/runs/a", ["DELETE policyServer effect", "GET policyServer"]],
    ["/remote-run/runs/a/output", ["GET policyServer"]],
    ["/shared-files/node/a/b", ["HEAD nodes", "POST nodes effect"]],
    ["/shared-files/a/b/c", ["HEAD nodes", "PUT nodes effect"]],
    ["/shared-folder/a/b", ["GET sharedFolder", "HEAD sharedFolder"]],
    ["/system/info", ["GET admin"]],
    ["/system/status", ["GET admin"]],
    ["/system/reload", ["POST admin effect"]],
    ["/system/outbox", ["GET admin"]],
    ["/system/outbox/retry", ["POST admin effect"]],
    ["/system/outbox/a", ["DELETE admin effect"]],
    ["/metrics", ["GET admin"]],
    ["/openapi.json", ["GET admin"]],
    ["/docs", ["GET admin"]],
    ["/remote-run/", []],
    ["/nothing", []]
  ])("say who may ask them and which have an effect: %s", (path, expected) => {
    const found = table
      .at(path)
      .routes.map(({ method, askedBy, hasEffect }) => `${method} ${askedBy}${hasEffect ? " effect" : ""}`)
    expect([...new Set(found)].sort()).toEqual(expected)
  })

  it.each<[path: string, kind: string]>([
    ["/remote-run/typo", "policyServer"],
    ["/shared-files/typo", "nodes"],
    ["/shared-folder/", "sharedFolder"],
    ["/system/typo", "admin"],
    ["/", "admin"]
  ])("that are not there are told to those who may ask their neighbours: %s", (path, kind) => {
    expect(table.askedBy(path)).toBe(kind)
  })
})

describe("what of a path is a parameter", () => {
  it.each<[path: string, values: Array<string>, names: Array<string>]>([
    ["/shared-files/node/a/b%2Fc", ["a", "b%2Fc"], ["target_uuid", "file_id"]],
    ["/shared-files/node/a/b", ["a", "b"], ["target_uuid", "file_id"]],
    ["/shared-files/nodes/a/b", ["nodes", "a", "b"], ["target", "source", "file_id"]],
    ["/shared-files/a;b/c/d", ["a;b", "c", "d"], ["target", "source", "file_id"]],
    ["/shared-folder/a/b/c", ["a/b/c"], ["*"]],
    ["/remote-run/runs", [], []]
  ])("is told in its order, as it stands there: %s", (path, values, names) => {
    const found = table.at(path)
    expect(found.values).toEqual(values)
    for (const route of found.routes) expect(route.names).toEqual(names)
  })

  it("is no less than one character, and nothing but one segment", () => {
    for (const path of ["/remote-run/node/", "/remote-run/node/a/b", "/remote-run/nodes/", "/system/info/"])
      expect(table.at(path)).toEqual({ routes: [], values: [] })
  })
})

describe("an API whose endpoint does not say", () => {
  it("who may ask it is refused", () => {
    expect(() => RouteTable.make(apiOf(endpoint.annotate(HasEffect, false), false))).toThrow(
      "endpoint things.read has no annotation rudder-relay/AskedBy"
    )
  })

  it("whether it has an effect is refused, also where its group does", () => {
    const group = HttpApiGroup.make("things")
      .add(endpoint)
      .annotate(AskedBy, "nodes")
      .annotate(HasEffect, false)
    expect(() => RouteTable.make(HttpApi.make("api").add(group))).toThrow(
      "endpoint things.read has no annotation rudder-relay/HasEffect"
    )
  })

  it("both is read", () => {
    const routes = RouteTable.make(apiOf(endpoint.annotate(HasEffect, true), true))
    expect(routes.at("/things/a").routes).toMatchObject([
      { method: "GET", askedBy: "nodes", hasEffect: true }
    ])
  })
})
