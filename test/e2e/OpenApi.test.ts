/** The API's description: that it is one, and that the built program does what it says. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Validator } from "@seriousme/openapi-schema-validator"
import { Schema } from "effect"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { RunDetail, RunPage } from "../../src/remote-run/RunRecord.ts"
import { RunStreamEvent } from "../../src/remote-run/RunStreamEvent.ts"
import { cleanUp, command, curl, events, nodes, prepare, type Relay, start } from "./support/Program.ts"
import { installSchemathesis, patience, schemathesis } from "./support/Schemathesis.ts"
import { chance, setting } from "./support/Seeded.ts"

const redocly = fileURLToPath(new URL("../../node_modules/.bin/redocly", import.meta.url))

/** For each operation, besides what schemathesis asks of every bound and example: more than 2,000 requests in all. */
const examples = setting("E2E_API_EXAMPLES", 20)

/** Parameters by which a run waits for as long as one likes. */
const waits = ["splay", "batch_wait"]
const shortWait = { type: "string", enum: ["0s", "10ms"] }

type Json = null | boolean | number | string | ReadonlyArray<Json> | { readonly [name: string]: Json }

const isList = (of: Json): of is ReadonlyArray<Json> => Array.isArray(of)

/** The same description, but for waits that no test has the time for. */
const withShortWaits = (of: Json, name?: string): Json => {
  if (isList(of)) return of.map((item) => withShortWaits(item))
  if (typeof of !== "object" || of === null) return of
  if (name !== undefined && waits.includes(name)) return shortWait
  const named = typeof of.name === "string" && waits.includes(of.name) ? { ...of, schema: shortWait } : of
  return Object.fromEntries(Object.entries(named).map(([key, value]) => [key, withShortWaits(value, key)]))
}

let relay: Relay
let document: string

beforeAll(async () => {
  const directory = prepare()
  mkdirSync(join(directory, "folder/below"), { recursive: true })
  for (const name of ["motd", "below/motd"]) writeFileSync(join(directory, "folder", name), "hello\n")
  relay = await start({
    directory,
    nodes: nodes(2),
    agent: "echo hello; echo oh >&2; exit 1",
    config: {
      limits: { headers_timeout: "5s", body_idle_timeout: "5s" },
      shared_folder: { path: join(directory, "folder") }
    }
  })
  document = join(relay.directory, "openapi.json")
  writeFileSync(document, (await curl(`${relay.url}/openapi.json`)).body)
})
afterAll(cleanUp)

describe("the API's description", () => {
  it("is OpenAPI 3.1, by its own schema", async () => {
    const { valid, errors } = await new Validator().validate(document)
    expect(errors ?? []).toEqual([])
    expect(valid).toBe(true)
  })

  it("has no errors and no warnings by redocly's recommended rules", async () => {
    const { code, stdout, stderr } = await command("env", [
      "REDOCLY_TELEMETRY=off",
      "REDOCLY_SUPPRESS_UPDATE_NOTICE=true",
      redocly,
      "lint",
      document,
      "--extends=recommended",
      "--format=json"
    ])
    const { totals, problems } = JSON.parse(stdout)
    expect(problems).toEqual([])
    expect({ code, ...totals, stderr: code === 0 ? "" : stderr }).toMatchObject({
      code: 0,
      errors: 0,
      warnings: 0,
      stderr: ""
    })
  })

  it("is a page too, which needs nothing from elsewhere and may load nothing", async () => {
    const { status, body } = await curl(`${relay.url}/docs`)
    expect(status).toBe(200)
    expect(body).toContain("Rudder relay API")
    expect(body).not.toMatch(/<(?:script|link|img|iframe)[^>]+(?:src|href)=/)
    const { stdout } = await command("curl", ["-sS", "-o", "/dev/null", "-D", "-", `${relay.url}/docs`])
    expect(stdout).toMatch(/^content-security-policy: default-src 'none'; script-src 'sha256-/m)
    expect(stdout).toMatch(/^content-security-policy: .*; connect-src 'self';/m)
  })
})

describe("a run", () => {
  const strictly = { onExcessProperty: "error" } as const

  it("says the events that are described, and no more", async () => {
    const query = "output=keep&format=ndjson&canary=1&max_failures=0&actor=me"
    const { body } = await curl(`${relay.url}/remote-run/nodes?nodes=n0,n1,ghost&${query}`)
    const decode = Schema.decodeUnknownSync(RunStreamEvent, strictly)
    const said = events(body).map((event) => decode(event).event)
    expect(said).toEqual(["run", "start", "output", "output", "end", "end", "done"])
  })

  it("is listed and shown as it is described", async () => {
    const page = JSON.parse((await curl(`${relay.url}/remote-run/runs`)).body)
    const [run] = Schema.decodeUnknownSync(RunPage, strictly)(page).runs
    expect(run).toMatchObject({ nodes: 2, failed: 1, skipped: 1, by: { actor: "me" } })
    const detail = JSON.parse((await curl(`${relay.url}/remote-run/runs/${run?.id}`)).body)
    expect(Schema.decodeUnknownSync(RunDetail, strictly)(detail).states.length).toBe(2)
  })
})

describe("the relay", () => {
  beforeAll(installSchemathesis, patience)

  it(
    "answers whatever the description lets one ask with what it lets the relay answer",
    async () => {
      const asked = join(relay.directory, "asked.json")
      writeFileSync(asked, JSON.stringify(withShortWaits(JSON.parse(readFileSync(document, "utf8")))))
      // The same requests each time, unless told otherwise: what they find is then of the change that is tested.
      const { seed } = chance(setting("E2E_SEED", 1))
      console.log(`E2E_SEED=${seed}`)
      const { code, stdout, stderr } = await schemathesis(
        relay.directory,
        "run",
        asked,
        `--url=${relay.url}`,
        "--phases=examples,coverage,fuzzing",
        `--checks=${checks.join(",")}`,
        `--max-examples=${examples}`,
        `--seed=${seed}`,
        "--workers=2",
        "--request-timeout=90",
        "--continue-on-failure",
        "--warnings=off",
        "--no-color"
      )
      const count = Number(/(\d+) generated/.exec(stdout)?.[1])
      console.log(`${count} requests`)
      expect(code === 0 ? "" : `${stdout.slice(-20_000)}${stderr}`).toBe("")
      expect(count).toBeGreaterThan(2000)
      const unforeseen = relay
        .log()
        .split("\n")
        .filter((line) => /a request failed|uncaught|unhandled/i.test(line))
      expect(unforeseen).toEqual([])
    },
    patience
  )
})

/** No status, type, header or body that is not described, no 5xx, and no method that is not. */
const checks = [
  "not_a_server_error",
  "status_code_conformance",
  "content_type_conformance",
  "response_headers_conformance",
  "response_schema_conformance",
  "unsupported_method",
  "allow_header_conformance"
]
