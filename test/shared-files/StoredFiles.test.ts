/** The files of a store, listed and removed by their names. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import { makeSettings } from "../../src/config/GivenSettings.ts"
import { RelayConfig } from "../../src/config/RelayConfig.ts"
import { NodeId } from "../../src/NodeId.ts"
import { type Layout, locate } from "../../src/shared-files/file/Location.ts"
import * as StoredFiles from "../../src/shared-files/StoredFiles.ts"
import { SharedFileStore } from "../../src/shared-files/store/SharedFileStore.ts"
import { nodesListLayer, type Tree } from "../../src/testing/Topology.ts"
import { hashOf, nameOf } from "../support/Outboxes.ts"
import { openDisk, storeLayer, upload } from "../support/Stores.ts"

const tree: Tree = {
  near: { hostname: "near.example.com" },
  relay: { hostname: "relay.example.com" },
  behind: { hostname: "behind.example.com", relays: ["relay"] }
}
const all = { limit: 50, target: Option.none(), source: Option.none(), after: Option.none() }
const node = (id: string) => Option.some(NodeId.make(id))
const relays = (...ids: ReadonlyArray<string>) => ids.map((id) => NodeId.make(id))

const name = (fileId: string, target: string, source = "source") => ({
  ...nameOf(fileId, target),
  source: NodeId.make(source)
})

const shortly = ({ files }: StoredFiles.ShownFiles) =>
  files.map(({ target, source, fileId }) => `${target} ${source} ${fileId}`)

const withStore =
  (layout: Layout, disk = openDisk()) =>
  <A, E>(test: (fs: typeof disk.fs) => Effect.Effect<A, E, StoredFiles.Parts>) =>
    Effect.provide(
      test(disk.fs),
      Layer.mergeAll(
        storeLayer(disk.disk),
        nodesListLayer(tree),
        Layer.succeed(RelayConfig, makeSettings({ sharedFiles: { layout, path: "/store" } }))
      )
    )

const store = (
  layout: Layout,
  fileId: string,
  target: string,
  via: ReadonlyArray<string> = [],
  source = "source"
) => upload(locate(layout, relays(...via), name(fileId, target, source)), `${fileId} for ${target}`)

/** Some of them where their targets once were: `gone` is in the list no more, `near` was behind a relay that left. */
const storeAll = (layout: Layout) =>
  Effect.all([
    store(layout, "a", "near"),
    store(layout, "b", "near", [], "other"),
    store(layout, "c", "behind", ["relay"]),
    store(layout, "d", "relay"),
    store(layout, "e", "gone"),
    store(layout, "f", "near", ["left", "lower"])
  ])

describe.each(["tree", "rudder"] as const)("in layout %s", (layout) => {
  it.effect("shows what is stored, in the order of its folders, wherever it stands", () =>
    withStore(layout)((fs) =>
      Effect.gen(function* () {
        yield* storeAll(layout)
        fs.mkdirSync("/store/near/stray", { recursive: true })
        fs.writeFileSync("/store/near/stray.metadata", "not a shared file")
        const page = yield* StoredFiles.list(all)
        expect(shortly(page).toSorted()).toEqual([
          "behind source c",
          "gone source e",
          "near other b",
          "near source a",
          "near source f",
          "relay source d"
        ])
        expect(page.next).toEqual(Option.none())
        expect(page.files.find(({ fileId }) => fileId === "a")).toMatchObject({
          size: "a for near".length,
          date: Option.some(expect.stringMatching(/^\d{4}-/)),
          expires: Option.none()
        })
      })
    )
  )

  it.effect("shows those of a target or of a source alone", () =>
    withStore(layout)(() =>
      Effect.gen(function* () {
        yield* storeAll(layout)
        const of = (query: Partial<StoredFiles.StoredQuery>) =>
          Effect.map(StoredFiles.list({ ...all, ...query }), (page) => shortly(page).toSorted())
        expect(yield* of({ target: node("near") })).toEqual([
          "near other b",
          "near source a",
          "near source f"
        ])
        expect(yield* of({ target: node("behind") })).toEqual(["behind source c"])
        expect(yield* of({ target: node("gone") })).toEqual(["gone source e"])
        expect(yield* of({ target: node("relay") })).toEqual(["relay source d"])
        expect(yield* of({ source: node("other") })).toEqual(["near other b"])
        expect(yield* of({ target: node("near"), source: node("other") })).toEqual(["near other b"])
        expect(yield* of({ target: node("nobody") })).toEqual([])
      })
    )
  )

  it.effect("goes through all of it page by page, each file once", () =>
    withStore(layout)(() =>
      Effect.gen(function* () {
        yield* storeAll(layout)
        const whole = shortly(yield* StoredFiles.list(all))
        for (const limit of [1, 2, 3]) {
          const seen: Array<string> = []
          let after = Option.none<string>()
          do {
            const page = yield* StoredFiles.list({ ...all, limit, after })
            expect(page.files.length).toBeLessThanOrEqual(limit)
            seen.push(...shortly(page))
            after = page.next
          } while (Option.isSome(after))
          expect(seen).toEqual(whole)
        }
      })
    )
  )

  it.effect("removes a file with its metadata, where its target is and where it once was", () =>
    withStore(layout)((fs) =>
      Effect.gen(function* () {
        yield* storeAll(layout)
        for (const [fileId, target, via] of [
          ["a", "near", []],
          ["c", "behind", ["relay"]],
          ["e", "gone", []],
          ["f", "near", ["left", "lower"]]
        ] as const) {
          const at = locate(layout, relays(...via), name(fileId, target))
          const folder = `/store/${at.folders.join("/")}`
          expect(fs.readdirSync(folder)).toEqual([fileId, `${fileId}.metadata`])
          expect(yield* StoredFiles.remove(name(fileId, target))).toBe(true)
          expect(fs.readdirSync(folder)).toEqual([])
          expect(yield* (yield* SharedFileStore).has(at, hashOf(`${fileId} for ${target}`))).toBe(false)
          expect(yield* StoredFiles.remove(name(fileId, target))).toBe(false)
        }
        expect(shortly(yield* StoredFiles.list(all)).toSorted()).toEqual(["near other b", "relay source d"])
        // A folder of that name is a node's.
        expect(yield* StoredFiles.remove(name("source", "store", "near"))).toBe(false)
      })
    )
  )
})
