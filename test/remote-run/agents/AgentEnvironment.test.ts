import { assert, describe, it } from "@effect/vitest"
import * as AgentEnvironment from "../../../src/remote-run/agents/AgentEnvironment.ts"

describe("an agent's environment", () => {
  it("is the daemon's, without the relay's settings, its threads, and what a service manager tells the daemon alone", () => {
    assert.deepStrictEqual(
      AgentEnvironment.of({
        PATH: "/usr/bin",
        LANG: "C.UTF-8",
        RUDDER_SERVER: "kept",
        RUDDER_RELAY_URL: "x",
        RUDDER_RELAY_TLS__KEY: "x",
        NOTIFY_SOCKET: "x",
        LISTEN_FDS: "x",
        LISTEN_PID: "x",
        WATCHDOG_USEC: "x",
        INVOCATION_ID: "x",
        JOURNAL_STREAM: "x",
        CREDENTIALS_DIRECTORY: "x",
        MEMORY_PRESSURE_WATCH: "x",
        UV_THREADPOOL_SIZE: "x",
        absent: undefined
      }),
      { PATH: "/usr/bin", LANG: "C.UTF-8", RUDDER_SERVER: "kept" }
    )
  })
})
