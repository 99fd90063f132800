import { describe, expect, it } from "@effect/vitest"
import { RelayApi } from "../../src/RelayApi.ts"
import * as Address from "../../src/server/Address.ts"
import * as RouteTable from "../../src/server/RouteTable.ts"

const routes = RouteTable.make(RelayApi)
const target = (file: string) => `/rudder/relay-api/shared-files/node/a/${file}?source-uuid=b`

describe("an address that was read", () => {
  it("is read again until it is kept, and then known by its method and target", () => {
    const known = Address.known(routes)
    const first = known.of("HEAD", target("f"))
    expect(first).toMatchObject({
      versioned: false,
      path: "/shared-files/node/a/f",
      query: "source-uuid=b",
      route: { method: "HEAD", path: "/shared-files/node/:target_uuid/:file_id" }
    })
    expect(known.of("HEAD", target("f"))).not.toBe(first)
    known.keep(first)
    expect(known.of("HEAD", target("f"))).toBe(first)
    expect(known.of("HEAD", target("g"))).not.toBe(first)
    expect(known.of("POST", target("f"))).toMatchObject({ method: "POST", route: { method: "POST" } })
    expect(known.of("PATCH", target("f")).route).toBeUndefined()
  })

  it("is not kept where it is long, nor beside 2,000 others, until 20,000 came", () => {
    const known = Address.known(routes)
    const long = known.of("HEAD", target("f".repeat(512)))
    known.keep(long)
    expect(known.of("HEAD", long.target)).not.toBe(long)
    const all = Array.from({ length: 22_000 }, (_, at) => known.of("HEAD", target(`f${at}`)))
    const kept = () => all.filter((each) => known.of("HEAD", each.target) === each)
    for (const each of all.slice(0, -1)) known.keep(each)
    expect(kept()).toEqual(all.slice(0, 2000))
    for (const each of all.slice(-1)) known.keep(each)
    expect(kept()).toEqual(all.slice(-1))
  })
})
