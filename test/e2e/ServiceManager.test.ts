/** The daemon tells systemd how it is; where it can't, it goes on all the same. What it says is in DebianPackage.test.ts. */
import { afterEach, expect, it } from "vitest"
import { cleanUp, curl, nodes, start } from "./support/Program.ts"

afterEach(cleanUp)

it("a service manager that can't be told is no hindrance, and agents never learn of it", async () => {
  const relay = await start({
    nodes: nodes(1),
    agent: 'echo "socket: $NOTIFY_SOCKET"',
    env: { NOTIFY_SOCKET: "/nonexistent/notify" }
  })
  expect((await curl(`${relay.url}/remote-run/all?output=keep`)).body).toContain("n0:socket: \n")
  expect(await relay.stop()).toBe(0)
  await expect.poll(() => relay.log()).toMatch(/level=WARN .*systemd can't be told.* said="READY=1 /)
  await expect.poll(() => relay.log()).toMatch(/level=WARN .*systemd can't be told.* said="STOPPING=1 /)
})
