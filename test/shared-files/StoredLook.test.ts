import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { keyOf } from "../../src/shared-files/file/Location.ts"
import * as StoredLook from "../../src/shared-files/StoredLook.ts"
import { SharedFileStore } from "../../src/shared-files/store/SharedFileStore.ts"
import { nodesOf, type Tree } from "../../src/testing/Topology.ts"
import { nameOf } from "../support/Sharing.ts"
import { sha512 } from "../support/SharingRelay.ts"
import { defaults, openDisk, storeLayer } from "../support/Stores.ts"

const settings = { ...defaults, sharedFiles: { ...defaults.sharedFiles, layout: "tree" as const } }
const target = { hostname: "target" }

describe("a look at a stored file", () => {
  it.effect("is where the file belongs by the list of then, which is asked once for each list", () =>
    Effect.gen(function* () {
      const asked: Array<string> = []
      const store: SharedFileStore["Type"] = {
        ...(yield* SharedFileStore),
        lookAt: (location) => {
          asked.push(keyOf(location))
          return () => location.folders.length === 2
        }
      }
      const listOf = (tree: Tree) => nodesOf({ source: { hostname: "source" }, ...tree })
      let nodes = listOf({ target })
      const status = Effect.succeed({ _tag: "Success" } as const)
      const nodesList = {
        current: Effect.sync(() => nodes),
        now: () => nodes,
        status,
        neverLoaded: Effect.succeed(false),
        reload: status
      }
      const look = StoredLook.make({ settings, nodesList, store }, nameOf(), sha512("content"))
      expect([look(), look()]).toEqual([true, true])
      nodes = listOf({ target: { ...target, relays: ["relay"] } })
      expect([look(), look()]).toEqual([false, false])
      nodes = listOf({})
      expect(look()).toBeUndefined()
      nodes = listOf({ target, motd: { hostname: "motd" } })
      expect(look()).toBeUndefined()
      nodes = listOf({ target })
      expect(look()).toBe(true)
      expect(asked).toEqual(["target/source/motd", "relay/target/source/motd", "target/source/motd"])
    }).pipe(Effect.provide(storeLayer(openDisk().disk)))
  )
})
