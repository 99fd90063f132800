/** The Debian package: built, installed on a site laid out as Rudder lays it out, run as its unit says, upgraded, removed. */
import { type ChildProcess, execFileSync } from "node:child_process"
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { until } from "../support/Until.ts"
import { type DebianSite, startDebianSite } from "./support/DebianSite.ts"
import { command, events } from "./support/Program.ts"
import { entryOf, fileOf, headerOf, newSender, removeSenders, type Sender } from "./support/Senders.ts"

const top = fileURLToPath(new URL("../..", import.meta.url))
const support = (name: string) => readFileSync(join(import.meta.dirname, "support", name), "utf8")
const name = "rudder-relay-api"
const unitFile = "/usr/lib/systemd/system/rudder-relay.service"
const own = "http://127.0.0.1:3031"
const api = `${own}/rudder/relay-api`

let folder = ""
let packages = { first: "", second: "", again: "", node: "" }
let site: DebianSite
let listener: ChildProcess
/** A node that shares a file. */
let sender: Sender

const built = async (output: string, ...more: ReadonlyArray<string>) => {
  const script = [join(top, "scripts/package.mjs"), "--output", join(folder, output), ...more]
  const ended = await command("env", ["SOURCE_DATE_EPOCH=1700000000", process.execPath, ...script], 200_000)
  expect(ended.code, ended.stderr).toBe(0)
  return ended.stdout.trim()
}

/** Where node itself is no Debian package: one that says that it is there. */
const nodeStandIn = () => {
  const root = join(folder, "node")
  mkdirSync(join(root, "DEBIAN"), { recursive: true })
  const version = process.version.slice(1)
  const fields = [
    `Package: nodejs`,
    `Version: ${version}-1`,
    "Architecture: all",
    "Maintainer: e2e <e2e@localhost>"
  ]
  writeFileSync(join(root, "DEBIAN/control"), `${fields.join("\n")}\nDescription: stands in for node\n`)
  const file = join(folder, "nodejs.deb")
  execFileSync("dpkg-deb", ["--root-owner-group", "--build", root, file], { stdio: "ignore" })
  return file
}

/** Succeeds, or says what went wrong. */
const done = async (program: string, ...args: ReadonlyArray<string>) => {
  const ended = await site.run(program, ...args)
  expect(ended.code, `${program} ${args.join(" ")}\n${ended.stdout}${ended.stderr}`).toBe(0)
  return ended.stdout
}

const uuid = "e745a140-40bc-4b86-b6dc-084488fc906b"

/** As Rudder's package and policies leave it on a relay. */
const mainConf = `[general]
nodes_list_file = "/var/rudder/lib/relay/nodeslist.json"
nodes_certs_file = "/var/rudder/lib/ssl/allnodescerts.pem"
node_id = "${uuid}"
listen = "127.0.0.1:3030"
core_threads = 4
peer_authentication = "cert_pinning"
https_port = 443

[processing.inventory]
directory = "/var/rudder/inventories"
output = "upstream"
cleanup = { frequency = "10min", retention = "1 day" }

[processing.reporting]
directory = "/var/rudder/reports"
output = "upstream"
skip_event_types = []

[output.upstream]
host = "127.0.0.9"
user = "rudder"
password = "secret"
default_password = "rudder"
server_certificate_file = "/var/rudder/lib/ssl/policy_server.pem"

[remote_run]
command = "/opt/rudder/bin/rudder"
use_sudo = true

[shared_files]
path = "/var/rudder/shared-files/"

[shared_folder]
path = "/var/rudder/configuration-repository/shared-files/"
`

/** \`rudder remote run [-D classes] -- HOST\`: what it prints depends on the host. */
const rudder = `#!/bin/sh
for host; do :; done
echo "on $host as $(id -un)"
case $host in
  slow*) sleep 2; echo woke up ;;
  writing*) echo x > /var/rudder/cfengine-state && touch /usr/written 2>/dev/null && echo wrote outside ;;
  there*) [ -e /tmp/of-the-machine ] && echo sees others files ;;
esac
echo ended
`

const layOutRudder = async () => {
  // What relays have left on the machine is not Rudder's.
  if (site.isolated) await done("rm", "-rf", "/var/rudder")
  await done("sh", "-ec", "getent group rudder >/dev/null || groupadd --system rudder")
  await done(
    "sh",
    "-ec",
    "getent passwd rudder-relayd >/dev/null || useradd --system -g rudder -d /var/rudder rudder-relayd"
  )
  site.write("/opt/rudder/etc/relayd/main.conf", mainConf)
  site.write("/opt/rudder/etc/relayd/logging.conf", '[general]\nlevel = "info"\n')
  site.write("/opt/rudder/etc/uuid.hive", `${uuid}\n`)
  site.write("/opt/rudder/bin/rudder", rudder, 0o755)
  const list = Object.fromEntries(
    ["quick", "slow", "writing", "there"].map((id) => [
      id,
      { hostname: `${id}.example.com`, "policy-server": uuid }
    ])
  )
  site.write(
    "/var/rudder/lib/relay/nodeslist.json",
    JSON.stringify({ ...list, source: entryOf(sender, uuid) })
  )
  site.write("/var/rudder/lib/ssl/allnodescerts.pem", "")
  await done(
    ...([
      "openssl",
      "req",
      "-x509",
      "-newkey",
      "rsa:2048",
      "-nodes",
      "-days",
      "30",
      "-subj",
      "/CN=root"
    ] as const),
    ...["-keyout", "/dev/null", "-out", "/var/rudder/lib/ssl/policy_server.pem"]
  )
  await done("sh", "-ec", "chmod 755 /var/rudder; mkdir -p /var/rudder/configuration-repository/shared-files")
  await done("install", "-d", "-m", "0770", "-o", "rudder-relayd", "-g", "rudder", "/var/rudder/shared-files")
  site.write("/var/rudder/shared-files/of-rudder", "stays\n")
}

/** What stands for systemd: where it is asked to start, stop or restart the unit, that is done as the unit says. */
const layOutSystemd = async () => {
  await done("mkdir", "-p", "/run/systemd/system")
  site.write("/run/unit", support("unit.sh"), 0o755)
  const isolated = `ISOLATED=${site.isolated ? "yes" : "no"}; export ISOLATED`
  site.write(
    "/usr/local/sbin/deb-systemd-invoke",
    `#!/bin/sh\n${isolated}\necho "$*" >> /run/invoked\ncase $2 in rudder-relay.service) exec /run/unit "$1" ;; esac\n`,
    0o755
  )
  site.write("/usr/local/sbin/systemctl", '#!/bin/sh\necho "systemctl $*" >> /run/invoked\n', 0o755)
  site.write("/run/notified.py", support("notified.py"))
  listener = site.start("python3", "/run/notified.py")
  await new Promise((resolve) => listener.stdout?.once("data", resolve))
}

/** Of Apache the tests change much, and of the users' files there are copies. */
const ofNoInterest = /^\/etc\/(passwd|group|shadow|gshadow|subuid|subgid)-$|apache2/

/** Files of the site, but for those that every use of dpkg, or of a log, changes. */
const files = async (): Promise<ReadonlySet<string>> => {
  const without = ["/var/lib/dpkg", "/var/cache", "/var/log"].flatMap((path) => [
    "-path",
    path,
    "-prune",
    "-o"
  ])
  const places = ["/bin", "/etc", "/lib", "/opt", "/srv", "/usr", "/var"]
  const found = await done("find", ...places, "-xdev", ...without, "-print")
  return new Set(found.split("\n").filter((path) => !ofNoInterest.test(path)))
}

const modeOf = async (...paths: ReadonlyArray<string>) =>
  (await done("stat", "-c", "%n %a %U:%G", ...paths)).trim().split("\n")

const curl = (...args: ReadonlyArray<string>) => site.run("curl", "-sS", "-N", ...args)

/** Sends a file as deployed agents do, and looks where deployed agents and relays look for it. */
const share = async (url: string) => {
  const content = "shared\n"
  const file = "/tmp/body-of-the-file"
  site.write(file, `${await headerOf(sender, fileOf(content))}${content}`)
  const { stdout } = await curl(
    "-X",
    "PUT",
    "--data-binary",
    `@${file}`,
    "-o",
    "/dev/null",
    "-w",
    "%{http_code}",
    url
  )
  expect(stdout).toBe("200")
  const stored = "/var/rudder/shared-files/quick/files/source/motd"
  expect(site.read(stored)).toBe(content)
  expect(await modeOf(stored)).toEqual([`${stored} 640 rudder-relayd:rudder`])
  expect(site.read(`${stored}.metadata`)).toContain("header=rudder-signature-v1\n")
}

const notified = () => site.read("/run/notified")

let before: ReadonlySet<string> = new Set()

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "rudder-relay-debian-"))
  packages = {
    first: await built("one"),
    again: await built("again"),
    second: await built("two", "--version", "99.0.0"),
    node: nodeStandIn()
  }
  sender = await newSender("source")
  site = await startDebianSite()
  await layOutRudder()
  await layOutSystemd()
  before = await files()
}, 240_000)

afterAll(async () => {
  removeSenders()
  await site?.run("/run/unit", "stop")
  if (site?.isolated === false) {
    const laidOut =
      "/opt/rudder /var/rudder /usr/local/sbin/deb-systemd-invoke /usr/local/sbin/systemctl /run/unit /run/systemd/system"
    await site.sh(`dpkg --purge ${name}; rm -rf ${laidOut} /run/notif* /run/invoked /run/journal`)
  }
  listener?.kill("SIGKILL")
  await site?.stop()
  rmSync(folder, { recursive: true, force: true })
})

describe("the package", () => {
  it("is the same from the same sources", () => {
    expect(readFileSync(packages.again).equals(readFileSync(packages.first))).toBe(true)
  })

  it("has lintian's consent", async () => {
    const ended = await command("lintian", ["--allow-root", "--fail-on", "error,warning", packages.first])
    // The man page is made with the program.
    const withoutPage = !readdirSync(join(top, "dist")).includes("rudder-relay.1")
    const said = ended.stdout.split("\n").filter((line) => /^[EW]:/.test(line))
    expect(said.filter((line) => !(withoutPage && line.includes("no-manual-page")))).toEqual([])
  })

  it("is installed beside Rudder, with its unit started", async () => {
    // Where node is a package of Debian's form, it is the one.
    if ((await site.run("dpkg", "-s", "nodejs")).code !== 0) await done("dpkg", "-i", packages.node)
    await done("dpkg", "-i", packages.first)
    expect(site.read("/run/invoked")).toContain("start rudder-relay.service\n")
    expect(await modeOf("/usr/lib/rudder-relay/dist/main.cjs", unitFile, `/etc/sudoers.d/${name}`)).toEqual([
      "/usr/lib/rudder-relay/dist/main.cjs 755 root:root",
      `${unitFile} 644 root:root`,
      `/etc/sudoers.d/${name} 440 root:root`
    ])
    expect(await modeOf("/var/rudder", "/var/rudder/relay", "/var/rudder/shared-files")).toEqual([
      "/var/rudder 755 root:root",
      "/var/rudder/relay 750 rudder-relayd:rudder",
      "/var/rudder/shared-files 770 rudder-relayd:rudder"
    ])
    await done("visudo", "-c")
    await done("bash", "-n", "/usr/share/bash-completion/completions/rudder-relay")
    expect((await done("rudder-relay", "--version")).trim()).toMatch(/^\d+\.\d+\.\d+$/)
  })

  it("says that it is ready once it listens", async () => {
    expect(notified()).toBe("READY=1\nSTATUS=listening on 127.0.0.1:3031\n")
    expect((await curl(`${api}/1/system/info`)).stdout).toContain('"action":"getSystemInfo"')
  })

  it("runs agents by sudo under the unit's restrictions, which they inherit", async () => {
    await done("touch", "/tmp/of-the-machine")
    const run = await curl("-d", "output=keep&nodes=quick,writing,there", `${api}/remote-run/nodes`)
    for (const id of ["quick", "writing", "there"]) {
      expect(run.stdout, run.stderr).toContain(`${id}:on ${id}.example.com as root\n`)
      expect(run.stdout).toContain(`${id}:ended\n`)
    }
    expect(site.read("/var/rudder/cfengine-state")).toBe("x\n")
    if (site.isolated) expect(run.stdout).not.toMatch(/wrote outside|sees others/)
    const status = JSON.parse((await curl(`${api}/system/status`)).stdout)
    expect(status.data.configuration).toEqual({ status: "success" })
  })

  it("can be checked as the unit would serve it, while it serves", async () => {
    const { code, stdout } = await site.run("/usr/lib/rudder-relay/check", "--json")
    const { errors, warnings } = JSON.parse(stdout)
    expect({ code, errors }).toEqual({ code: 0, errors: [] })
    expect(JSON.stringify(warnings)).toContain("by the relay that runs on this configuration already")
  })

  it("tells systemd of a reload, from its begin to its end", async () => {
    await done("/run/unit", "reload")
    await until("it is told", () => notified().match(/^READY=1$/gm)?.length === 2)
    expect(notified()).toMatch(/RELOADING=1\nMONOTONIC_USEC=\d+\nREADY=1\n$/)
  })

  it("has Apache send the API to it where its snippet is enabled, and back", async () => {
    const vhost = `Listen 127.0.0.1:8080\n<VirtualHost *:8080>\nProxyPass /rudder/relay-api/ http://127.0.0.1:3030/rudder/relay-api/1/\n</VirtualHost>\n`
    site.write("/etc/apache2/sites-enabled/rudder.conf", vhost)
    await done(
      "sh",
      "-ec",
      "rm -f /etc/apache2/sites-enabled/000-default.conf; echo > /etc/apache2/ports.conf; echo ServerName localhost > /etc/apache2/conf-enabled/name.conf"
    )
    await done("a2enmod", "-q", "proxy_http")
    const asked = async () =>
      (
        await curl(
          "-o",
          "/dev/null",
          "-w",
          "%{http_code}",
          "http://127.0.0.1:8080/rudder/relay-api/system/info"
        )
      ).stdout
    await done("apache2ctl", "start")
    try {
      await until("Apache answers for a daemon that is not there", async () => (await asked()) === "503")
      await done("a2enconf", "-q", name)
      await done("apache2ctl", "graceful")
      await until("it is the relay's", async () => (await asked()) === "200")
      await share("http://127.0.0.1:8080/rudder/relay-api/shared-files/quick/source/motd?ttl=1h")
      await done("a2disconf", "-q", name)
      await done("apache2ctl", "graceful")
      await until("it is Rudder's own again", async () => (await asked()) === "503")
    } finally {
      await done("apache2ctl", "stop")
      await done(
        "sh",
        "-c",
        "rm /etc/apache2/sites-enabled/rudder.conf /etc/apache2/conf-enabled/name.conf; a2dismod -q -f proxy_http; :"
      )
    }
  })
})

describe("the unit", () => {
  it("is one that systemd understands", async () => {
    const { code, stderr } = await site.run("systemd-analyze", "verify", "--man=no", "rudder-relay.service")
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
    const exposure = await site.run(
      "systemd-analyze",
      "security",
      "--offline=true",
      "--threshold=75",
      unitFile
    )
    expect(exposure.code, exposure.stdout).toBe(0)
  })

  it("has nothing with which sudo, or V8, does not work", () => {
    // What implies NoNewPrivileges for a unit with a user: systemd.exec(5).
    const implying =
      /^(NoNewPrivileges|SystemCall\w+|RestrictAddressFamilies|RestrictNamespaces|RestrictRealtime|RestrictSUIDSGID|PrivateDevices|ProtectKernel\w+|ProtectClock|ProtectHostname|LockPersonality|MemoryDenyWriteExecute|DynamicUser|PrivateUsers|ProtectProc|ProcSubset)=/m
    expect(site.read(unitFile)).not.toMatch(implying)
  })

  it("gives a stop more time than it takes by default", () => {
    const seconds = Number(/^TimeoutStopSec=(\d+)$/m.exec(site.read(unitFile))?.[1])
    expect(seconds).toBeGreaterThan(30 + 5)
  })
})

describe("an upgrade", () => {
  it("under a run ends it well for who called it, and the next start has its history", async () => {
    const caller = curl("-d", "output=keep&async=yes&nodes=slow", `${api}/remote-run/nodes`)
    await until(
      "it runs",
      async () => JSON.parse((await curl(`${api}/system/status`)).stdout).data.runs.agents === 1
    )
    await done("dpkg", "-i", packages.second)
    const { stdout } = await caller
    expect(stdout).toContain("slow:woke up\n")
    const [run, ...others] = events(stdout)
    expect(others.at(-1)).toMatchObject({ event: "done", ok: 1, failed: 0 })
    expect(site.read("/run/invoked")).toContain("restart rudder-relay.service\n")
    const replay = await curl(`${api}/remote-run/runs/${run?.id}/output`)
    expect(replay.stdout).toContain("slow:woke up\n")
    expect(notified()).toMatch(/^READY=1\n/)
  })
})

describe("a removal", () => {
  it("says that it stops, and leaves configuration and history; Apache is Rudder's own again", async () => {
    site.write("/run/notified", "")
    await done("sh", "-ec", `a2enmod -q proxy_http; a2enconf -q ${name}`)
    await done("dpkg", "-r", name)
    await done("a2dismod", "-q", "-f", "proxy_http")
    expect(notified()).toMatch(/^STOPPING=1\nSTATUS=stopping\nEXTEND_TIMEOUT_USEC=50000000\n$/)
    expect(site.exists(`/etc/apache2/conf-enabled/${name}.conf`)).toBe(false)
    for (const path of ["/etc/default/rudder-relay", `/etc/sudoers.d/${name}`, "/var/rudder/relay/runs"])
      expect(site.exists(path)).toBe(true)
    for (const path of ["/usr/bin/rudder-relay", "/usr/lib/rudder-relay", unitFile])
      expect(site.exists(path)).toBe(false)
  })

  it("with a purge leaves nothing, and what is Rudder's stays", async () => {
    await done("dpkg", "--purge", name)
    const left = await files()
    // What agents and nodes have written, and, where nothing keeps an agent from it, what one writes outside.
    const agents = /^\/var\/rudder\/(cfengine-state|shared-files\/quick)|^\/usr\/written$/
    expect([...left].filter((path) => !before.has(path) && !agents.test(path))).toEqual([])
    expect([...before].filter((path) => !left.has(path))).toEqual([])
    expect(site.read("/var/rudder/shared-files/of-rudder")).toBe("stays\n")
    await done("getent", "passwd", "rudder-relayd")
  })

  it("takes the user along where the package made it, and nothing is the user's any more", async () => {
    await done(
      "sh",
      "-ec",
      "userdel rudder-relayd; getent group rudder >/dev/null && groupdel rudder; rm -rf /var/rudder /opt/rudder"
    )
    // There is no configuration: the unit does not start, which is said, and the installation goes on.
    const installed = await site.run("dpkg", "-i", packages.first)
    expect(installed.code, installed.stderr).toBe(0)
    expect(installed.stderr).toContain("rudder-relay.service did not start; /usr/lib/rudder-relay/check says")
    expect((await site.run("getent", "passwd", "rudder-relayd")).stdout).toContain(":/var/rudder:")
    await done("dpkg", "--purge", name)
    expect((await site.run("getent", "passwd", "rudder-relayd")).code).not.toBe(0)
    expect((await site.run("getent", "group", "rudder")).code).not.toBe(0)
    expect(site.exists("/var/rudder")).toBe(false)
  })
})
