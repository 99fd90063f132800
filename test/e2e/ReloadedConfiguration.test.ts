/** What a reload takes of main.conf, and what it says of the rest. */
import { afterEach, describe, expect, it } from "vitest"
import { until } from "../support/Until.ts"
import { cleanUp, curl, prepare, start } from "./support/Program.ts"

afterEach(cleanUp)

describe("a reload", () => {
  it.each(["SIGHUP", "system/reload"])(
    "by %s says which keys have changed and wait for a restart",
    async (way) => {
      const relay = await start({ config: { remote_run: { max_concurrent: 8, timeout: "60s" } } })
      const reload = async () => {
        if (way === "SIGHUP") return relay.kill("SIGHUP")
        const { body, status } = await curl("-X", "POST", `${relay.url}/1/system/reload`)
        expect({ body, status }).toEqual({
          body: '{"result":"success","action":"reloadConfiguration"}',
          status: 200
        })
      }
      const configuration = async () =>
        JSON.parse((await curl(`${relay.url}/system/status`)).body).data.configuration
      prepare({
        directory: relay.directory,
        config: {
          remote_run: { max_concurrent: 9, timeout: "1min" },
          limits: { max_connections: 7 },
          log: { level: "debug" }
        }
      })
      await reload()
      const keys = await until("the log tells of it", () =>
        /wait for a restart.*keys="([^"]*)"/.exec(relay.log())?.[1]?.split(" ")
      )
      expect(keys).toEqual(["remote_run.max_concurrent", "limits.max_connections"])
      expect(await configuration()).toEqual({
        status: "success",
        details: "changed, and waiting for a restart: remote_run.max_concurrent, limits.max_connections"
      })
      prepare({ directory: relay.directory, config: { remote_run: { max_concurrent: 8, timeout: "60s" } } })
      await reload()
      await until("nothing waits", async () => (await configuration()).details === undefined)
    }
  )
})
