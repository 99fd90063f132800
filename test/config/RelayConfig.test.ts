import { join } from "node:path"
import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Option } from "effect"
import { lineOf } from "../../src/config/ConfigError.ts"
import { makeSettings } from "../../src/config/GivenSettings.ts"
import { load } from "../../src/config/RelayConfig.ts"

type Environment = Record<string, string>

/** Loads a configuration from files in a folder of its own; `DIR` in their text is that folder. */
const loading = (files: Record<string, string>, environment: Environment = {}) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const directory = yield* fs.makeTempDirectoryScoped({ prefix: "rudder-relay-config-" })
    for (const [name, text] of Object.entries(files))
      yield* fs.writeFileString(`${directory}/${name}`, text.replaceAll("DIR", directory))
    return yield* Effect.either(load(directory, environment))
  }).pipe(Effect.scoped, Effect.provide(NodeContext.layer))

const loaded = (text: string, environment: Environment = {}, more: Record<string, string> = {}) =>
  Effect.map(loading({ "main.conf": text, ...more }, environment), (result) => {
    if (result._tag === "Left") throw new Error(result.left.message)
    return { ...result.right, warnings: result.right.warnings.map(lineOf) }
  })

const problems = (text: string, environment: Environment = {}) =>
  Effect.map(loading({ "main.conf": text }, environment), (result) =>
    result._tag === "Left"
      ? result.left.message.replaceAll(/\/\S*rudder-relay-config-[^/]*/g, "DIR").split("\n")
      : []
  )

const root = '[general]\nnode_id = "root"\n'

/** What deployments have today: every key that Rudder's packages write. */
const deployed = `
[general]
nodes_list_file = "/var/rudder/lib/relay/nodeslist.json"
nodes_certs_file = "/var/rudder/lib/ssl/allnodescerts.pem"
node_id = "e745a140-40bc-4b86-b6dc-084488fc906b"
listen = "127.0.0.1:3030"
peer_authentication = "cert_pinning"
https_port = 4443
core_threads = 4

[processing.inventory]
directory = "/var/rudder/inventories"
output = "disabled"
cleanup = { frequency = "10min", retention = "1 day" }

[processing.reporting]
directory = "/var/rudder/reports"
output = "disabled"
skip_event_types = []

[output.upstream]
host = "rudder.example.com"
user = "rudder"
password = "secret"

[output.database]
url = "postgres://rudder@localhost/rudder"
password = "secret"

[remote_run]
command = "/opt/rudder/bin/rudder"
use_sudo = true

[shared_files]
path = "/var/rudder/shared-files/"

[shared_folder]
path = "/var/rudder/configuration-repository/shared-files/"
`

describe("main.conf", () => {
  it.effect("as deployments have it loads, without a warning", () =>
    Effect.gen(function* () {
      const { settings, warnings } = yield* loaded(deployed)
      expect(warnings).toEqual([])
      expect(settings.general).toMatchObject({
        nodeId: "e745a140-40bc-4b86-b6dc-084488fc906b",
        httpsPort: 4443
      })
      expect(settings.general.listen).toEqual({ host: "127.0.0.1", port: 3030 })
      expect(Option.map(settings.output.upstream.url, String)).toEqual(
        Option.some("https://rudder.example.com:4443/")
      )
      expect(settings.sharedFiles).toMatchObject({ path: "/var/rudder/shared-files/", layout: "rudder" })
      expect(settings.remoteRun).toMatchObject({ command: "/opt/rudder/bin/rudder", useSudo: true })
    })
  )

  it.effect("has the contract's default for every key that is not there", () =>
    Effect.gen(function* () {
      const { settings } = yield* loaded(root)
      const MiB = 1024 * 1024
      expect(settings).toEqual(makeSettings())
      expect(settings).toEqual({
        general: {
          nodeId: "root",
          nodesListFile: "/var/rudder/lib/relay/nodeslist.json",
          nodesCertsFile: "/var/rudder/lib/ssl/shared/allnodescerts.pem",
          listen: { host: "127.0.0.1", port: 3030 },
          httpsPort: 443,
          httpsIdleTimeout: Duration.seconds(2),
          peerAuthentication: "cert_pinning",
          caPath: Option.none(),
          shutdownGrace: Duration.seconds(30),
          ignoreProcessing: false
        },
        output: {
          upstream: {
            host: Option.none(),
            url: Option.none(),
            serverCertificateFile: "/var/rudder/lib/ssl/policy_server.pem"
          }
        },
        tls: { identity: Option.none(), clientCertificates: "request" },
        remoteRun: {
          enabled: true,
          command: "/opt/rudder/bin/rudder",
          useSudo: true,
          maxConcurrent: 50,
          timeout: Duration.hours(1),
          killGrace: Duration.seconds(5),
          outputLimit: 64 * MiB,
          reconnect: Duration.seconds(60),
          allowedClasses: Option.none(),
          directory: "/var/rudder/relay/runs",
          retention: Duration.days(7),
          maxSize: 1024 * MiB
        },
        sharedFiles: {
          path: "/var/rudder/shared-files-nodes",
          layout: "tree",
          maxBodySize: 0,
          minFree: 256 * MiB,
          maxUploads: 64,
          maxUploadsPerAddress: 16,
          minRate: 4096,
          cleanupFrequency: Duration.minutes(10),
          outbox: "/var/rudder/relay/outbox",
          outboxMaxSize: 10 * 1024 * MiB,
          forwardWait: Duration.seconds(5),
          forwardTimeout: Duration.seconds(60),
          retry: { initial: Duration.seconds(1), max: Duration.minutes(5) }
        },
        sharedFolder: { path: "/var/rudder/configuration-repository/shared-files" },
        access: {
          policyServer: Option.none(),
          nodes: Option.none(),
          admin: Option.none(),
          trustedProxies: Option.none(),
          hosts: [],
          policyServerKeyHash: []
        },
        limits: {
          headersTimeout: Duration.seconds(10),
          bodyIdleTimeout: Duration.seconds(60),
          maxHeaderSize: 16 * 1024,
          maxConnections: 4096
        },
        log: { level: "info", format: Option.none() }
      })
    })
  )

  it.effect("names keys and sections that are unknown, in one warning", () =>
    Effect.gen(function* () {
      const { warnings } = yield* loaded(
        `${root}colour = "red"\n[remote_run]\nmax_concurent = 3\n[reports]\nx.y = 1\n`
      )
      expect(warnings.length).toBe(1)
      expect(warnings[0]).toMatch(
        /general\.colour, remote_run\.max_concurent \(nearest: remote_run\.max_concurrent\), reports\.x\.y$/
      )
    })
  )

  it.effect("is refused with everything that is wrong, by file, key and expectation", () =>
    Effect.gen(function* () {
      const found = yield* problems(`
[general]
node_id = "../x"
listen = "localhost"
https_port = 70000
shutdown_grace = "soon"
[output.upstream]
url = "ftp://example.com"
[tls]
certificate = "/x.pem"
[remote_run]
enabled = "yes"
max_concurrent = 0
output_limit = "64 things"
[shared_files]
retry = { initial = "10min", max = "1min" }
[access]
admin = "127.0.0.1"
nodes = ["10.0.0.0/33"]
policy_server_key_hash = ["sha256//short"]
`)
      for (const line of found) expect(line).toMatch(/^DIR\/main\.conf: [a-z_.]+: expected .+/)
      expect(found.map((line) => line.split(": ")[1]).sort()).toEqual(
        [
          "general.node_id",
          "general.listen",
          "general.https_port",
          "general.shutdown_grace",
          "output.upstream.url",
          "tls.certificate",
          "remote_run.enabled",
          "remote_run.max_concurrent",
          "remote_run.output_limit",
          "shared_files.retry.max",
          "access.admin",
          "access.nodes",
          "access.policy_server_key_hash"
        ].sort()
      )
      expect(found).toContain(
        "DIR/main.conf: remote_run.max_concurrent: expected a whole number from 1 to 10000, got 0"
      )
    })
  )

  it.effect("names the entries of a list that are wrong, and a number that is none", () =>
    Effect.gen(function* () {
      const text = `[general]
node_id = "root"
shutdown_grace = nan
[access]
admin = ["10.0.0.0/8", "10.0.0.0/33", "${"a".repeat(60)}", "1.2.3"]`
      const variable = "RUDDER_RELAY_ACCESS__NODES"
      const rule = "expected a list of which each is an address, a CIDR or a host name"
      expect(yield* problems(text, { [variable]: "::/0, ::/129,10.0.0.1" })).toEqual([
        'DIR/main.conf: general.shutdown_grace: expected a duration such as "10s", "5min" or "1h 30m", or a number of seconds, got NaN',
        `${variable}: access.nodes: ${rule}, got "::/129" in it`,
        `DIR/main.conf: access.admin: ${rule}, got "10.0.0.0/33", "1.2.3" in it`
      ])
      expect(yield* problems('[general]\nnode_id = "root"\n[access]\nadmin = "10.0.0.1"')).toEqual([
        `DIR/main.conf: access.admin: ${rule}, got "10.0.0.1"`
      ])
    })
  )

  it.effect("is refused where a section is a value, or a value a section", () =>
    Effect.gen(function* () {
      expect(yield* problems('access = 3\n[general]\nnode_id = "root"\nlisten = { port = 1 }\n')).toEqual([
        "DIR/main.conf: access: expected a section, got 3",
        'DIR/main.conf: general.listen: expected an address and a port such as "127.0.0.1:3030", got {"port":1}'
      ])
    })
  )

  it.effect.each(["relay.1", "web.0x1f", "10.1"])(
    "is refused where %s, which looks like a number, stands for a host",
    (name) =>
      Effect.gen(function* () {
        const found = yield* problems(
          `${root}[access]\nadmin = ["${name}"]\nhosts = ["${name}"]\n[output.upstream]\nhost = "${name}"\n`
        )
        expect(found.map((line) => line.split(": ")[1])).toEqual([
          "output.upstream.host",
          "access.admin",
          "access.hosts"
        ])
      })
  )

  it.effect("on root may name no policy server by an empty host", () =>
    Effect.gen(function* () {
      const { settings } = yield* loaded(`${root}[output.upstream]\nhost = ""\n`)
      expect(settings.output.upstream).toMatchObject({ host: Option.none(), url: Option.none() })
      expect((yield* problems('[general]\nnode_id = "relay"\n[output.upstream]\nhost = ""\n'))[0]).toMatch(
        /output\.upstream\.host: expected/
      )
    })
  )

  it.effect("takes relayd's older URL, with a warning, only where no host is there", () =>
    Effect.gen(function* () {
      const upstream = (lines: string) => loaded(`${root}[output.upstream]\n${lines}\n`)
      const alone = yield* upstream('url = "http://old:1"\nhost = ""')
      expect(Option.map(alone.settings.output.upstream.url, String)).toEqual(Option.some("http://old:1/"))
      expect(alone.warnings[0]).toMatch(/output\.upstream\.url: is an older name/)
      const beside = yield* upstream('url = "no URL"\nhost = "up"')
      expect(Option.map(beside.settings.output.upstream.url, String)).toEqual(Option.some("https://up/"))
      expect(beside.warnings[0]).toMatch(/output\.upstream\.url: is not used/)
      const override = yield* upstream('base_url = "http://up:8080"\nhost = "up"')
      expect(Option.map(override.settings.output.upstream.url, String)).toEqual(
        Option.some("http://up:8080/")
      )
      expect(override.settings.output.upstream.host).toEqual(Option.some("up"))
      expect(override.warnings).toEqual([])
    })
  )

  it.effect("means relative paths from the folder that the daemon was started in", () =>
    Effect.gen(function* () {
      const { settings } = yield* loaded(
        `${root}[shared_files]\npath = "files"\n[remote_run]\ncommand = "bin/agent"\ndirectory = "./runs"\n`
      )
      expect(settings.sharedFiles.path).toBe(join(process.cwd(), "files"))
      expect(settings.remoteRun).toMatchObject({
        command: join(process.cwd(), "bin/agent"),
        directory: join(process.cwd(), "runs")
      })
      const named = yield* loaded(`${root}[remote_run]\ncommand = "rudder"\n`)
      expect(named.settings.remoteRun.command).toBe("rudder")
    })
  )

  it.effect("that is not TOML is refused with line and column", () =>
    Effect.gen(function* () {
      expect((yield* problems('[general]\nnode_id = "root\n'))[0]).toMatch(/^DIR\/main\.conf:2:\d+: /)
      expect(yield* Effect.map(loading({}), (result) => result._tag)).toBe("Left")
    })
  )

  it.effect("without an upstream is refused, unless this is root", () =>
    Effect.gen(function* () {
      expect((yield* problems('[general]\nnode_id = "relay"\n'))[0]).toMatch(
        /output\.upstream\.host: expected/
      )
      expect(yield* problems('[general]\nnode_id = "relay"\n[output.upstream]\nurl = "http://up:1"')).toEqual(
        []
      )
    })
  )

  it.effect.each(["inventory", "reporting"])(
    "where someone relies on processing.%s is refused, unless that is ignored",
    (kind) =>
      Effect.gen(function* () {
        const processing = `[processing.${kind}]\noutput = "upstream"\n`
        expect((yield* problems(root + processing))[0]).toContain("general.ignore_processing = true")
        expect(yield* problems(`${root}ignore_processing = true\n${processing}`)).toEqual([])
        expect(yield* problems(`${root}[processing.${kind}]\noutput = "disabled"\n`)).toEqual([])
      })
  )

  it.effect("takes the node's id from its file", () =>
    Effect.gen(function* () {
      const text = '[general]\nnode_id_file = "DIR/uuid"\n[output.upstream]\nhost = "up"\n'
      const { settings } = yield* loaded(text, {}, { uuid: "a-node\n" })
      expect(settings.general.nodeId).toBe("a-node")
      expect((yield* problems(text))[0]).toMatch(/general\.node_id: expected a node id here, or in DIR\/uuid/)
    })
  )

  it.effect("warns of dangerous_none", () =>
    Effect.gen(function* () {
      const { warnings } = yield* loaded(`${root}peer_authentication = "dangerous_none"\n`)
      expect(warnings[0]).toContain("dangerous_none")
    })
  )
})

describe("the environment", () => {
  it.effect("overrides any key, and is named where it is wrong", () =>
    Effect.gen(function* () {
      const { settings } = yield* loaded(`${root}[remote_run]\nmax_concurrent = 3\n`, {
        RUDDER_RELAY_REMOTE_RUN__MAX_CONCURRENT: "8",
        RUDDER_RELAY_OUTPUT__UPSTREAM__HOST: "up.example.com",
        RUDDER_RELAY_ACCESS__ADMIN: "10.0.0.0/8, ::1",
        RUDDER_RELAY_SHARED_FILES__MIN_FREE: "1GiB",
        RUDDER_RELAY_GENERAL__SHUTDOWN_GRACE: "90",
        RUDDER_RELAY_REMOTE_RUN__USE_SUDO: "false",
        RUDDER_RELAY_URL: "http://elsewhere"
      })
      expect(settings.remoteRun).toMatchObject({ maxConcurrent: 8, useSudo: false })
      expect(settings.output.upstream.host).toEqual(Option.some("up.example.com"))
      expect(settings.access.admin).toEqual(Option.some(["10.0.0.0/8", "::1"]))
      expect(settings.sharedFiles.minFree).toBe(2 ** 30)
      expect(settings.general.shutdownGrace).toEqual(Duration.seconds(90))
      expect(yield* problems(root, { RUDDER_RELAY_REMOTE_RUN__MAX_CONCURRENT: "many" })).toEqual([
        'RUDDER_RELAY_REMOTE_RUN__MAX_CONCURRENT: remote_run.max_concurrent: expected a whole number from 1 to 10000, got "many"'
      ])
    })
  )
})

describe("the environment's names", () => {
  it.effect("that are no key of ours are told, with the nearest one", () =>
    Effect.gen(function* () {
      const { warnings } = yield* loaded(root, {
        RUDDER_RELAY_REMOTE_RUN__MAX_CONCURRRENT: "8",
        RUDDER_RELAY_QUITE_ANOTHER_THING: "1",
        RUDDER_RELAY_GENERAL__CORE_THREADS: "4",
        RUDDER_RELAY_URL: "http://elsewhere",
        PATH: "/bin"
      })
      expect(warnings).toEqual([
        "environment: unknown variables, ignored: RUDDER_RELAY_QUITE_ANOTHER_THING, RUDDER_RELAY_REMOTE_RUN__MAX_CONCURRRENT (nearest: RUDDER_RELAY_REMOTE_RUN__MAX_CONCURRENT)"
      ])
    })
  )
})

describe("logging.conf", () => {
  it.effect.each([
    ["off", "off"],
    ["warning", "warn"],
    ["warn", "warn"]
  ] as const)("may say %s, as relayd's", ([level, expected]) =>
    Effect.gen(function* () {
      const logging = { "logging.conf": `[general]\nlevel = "${level}"\n` }
      const { settings, warnings } = yield* loaded(root, {}, logging)
      expect(settings.log.level).toBe(expected)
      expect(warnings).toEqual([])
    })
  )

  it.effect("may have a filter, of which is said that it is ignored", () =>
    Effect.gen(function* () {
      const logging = {
        "logging.conf": '[general]\nfilter = "relayd::api=debug"\n[filter]\nlevel = "error"\n'
      }
      const { settings, warnings } = yield* loaded(root, {}, logging)
      expect(settings.log.level).toBe("info")
      expect(warnings).toEqual([
        expect.stringMatching(/logging\.conf: general\.filter is ignored/),
        expect.stringMatching(/logging\.conf: filter is ignored/)
      ])
    })
  )

  it.effect("is told to be wrong together with main.conf", () =>
    Effect.gen(function* () {
      const result = yield* loading({ "main.conf": "listen", "logging.conf": '[general]\nlevel = "loud"\n' })
      const told = result._tag === "Left" ? result.left.message.split("\n") : []
      expect(told).toEqual([
        expect.stringMatching(/main\.conf:1:/),
        expect.stringMatching(/logging\.conf: general\.level: expected/)
      ])
    })
  )

  it.effect("gives the log level, which main.conf overrides", () =>
    Effect.gen(function* () {
      const logging = { "logging.conf": '[general]\nlevel = "debug"\nfilter = ""\n' }
      expect((yield* loaded(root, {}, logging)).settings.log.level).toBe("debug")
      expect((yield* loaded(`${root}[log]\nlevel = "warn"\n`, {}, logging)).settings.log.level).toBe("warn")
      const wrong = yield* loading({ "main.conf": root, "logging.conf": '[general]\nlevel = "loud"\n' })
      expect(wrong._tag === "Left" ? wrong.left.message : "").toMatch(
        /logging\.conf: general\.level: expected/
      )
    })
  )
})
