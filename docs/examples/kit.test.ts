/** A test of a program that embeds a relay: agents that fail, a disk that stops. Run by `node --test`. */
import assert from "node:assert/strict"
import { createHash, createPublicKey, generateKeyPairSync } from "node:crypto"
import { test } from "node:test"
import { Effect, Either, Layer, Stream } from "effect"
import { RelayClient } from "rudder-relay"
import { CrashingDisk, nodesListLayer, ScriptedAgents, TestRelay } from "rudder-relay/testing"

const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 })
const spki = createPublicKey(privateKey).export({ type: "spki", format: "der" })
const keyHash = `sha256//${createHash("sha256").update(spki).digest("base64")}`
const nodes = nodesListLayer({ web: { hostname: "web", keyHash }, db: { hostname: "db" } })
const motd = { source: "web", target: "db", fileId: "motd", key: privateKey }

test("a node whose agent fails has failed", async () => {
  const agents = ScriptedAgents.layer(({ hostname }) => ({ exit: hostname === "db" ? 1 : 0 }))
  const run = Effect.flatMap(RelayClient, (client) => Stream.runCollect(client.run({ nodes: "all" })))
  const relay = TestRelay.layer(Layer.merge(nodes, agents))
  const events = await run.pipe(Effect.provide(relay), Effect.runPromise)
  const { failed } = [...events].findLast((event) => event.event === "done") ?? {}
  assert.equal(failed, 1)
})

test("a file that was acknowledged is whole, whenever the disk stops", async () => {
  for (let operation = 1; operation <= 40; operation += 3) {
    const disk = CrashingDisk.make()
    const share = Effect.flatMap(RelayClient, ({ share }) => {
      disk.stopAt(operation)
      return share({ ...motd, content: Stream.make(Buffer.from("hi")) })
    })
    const relay = TestRelay.layer(Layer.merge(nodes, disk.layer), { sharedFiles: { path: "/store" } })
    const shared = await share.pipe(Effect.either, Effect.provide(relay), Effect.runPromise)
    const content = disk.restart(operation).files().get("/store/db/web/motd")?.content.toString()
    if (Either.isRight(shared)) assert.equal(content, "hi")
  }
})
