/** node's threads, by which the relay waits for the disk. */
import { readdirSync } from "node:fs"
import { afterEach, expect, it } from "vitest"
import { cleanUp, curl, nodes, start } from "./support/Program.ts"

afterEach(cleanUp)

it("there are twenty-four, or as many as the environment says, and agents hear of neither", async () => {
  const agent = { nodes: nodes(1), agent: 'echo "threads: $UV_THREADPOOL_SIZE"' }
  const relay = await start(agent)
  const other = await start({ ...agent, env: { UV_THREADPOOL_SIZE: "3" } })
  for (const each of [relay, other])
    expect((await curl(`${each.url}/remote-run/all?output=keep`)).body).toContain("n0:threads: \n")
  const threads = ({ pid }: typeof relay) => readdirSync(`/proc/${pid}/task`).length
  await expect.poll(() => threads(relay) - threads(other)).toBe(21)
})
