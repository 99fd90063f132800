/** `check` over set-ups that are broken, each in its way: what it says of them, and that it leaves nothing behind. */
import { execFileSync, spawnSync } from "node:child_process"
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import { afterEach, describe, expect, it } from "vitest"
import { certificateOf, newKey } from "../../src/testing/SelfSigned.ts"
import {
  cleanUp,
  command,
  main,
  type NodeEntry,
  type Options,
  prepare,
  program,
  start
} from "./support/Program.ts"
import { unitUser } from "./support/UnitUser.ts"

const unit = unitUser()
const { name: user, sudoers, unprivileged: asUser, withKill } = unit

const run = (name: string, ...args: ReadonlyArray<string>) =>
  execFileSync(name, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }).trim()

afterEach(async () => {
  rmSync(sudoers, { force: true })
  await cleanUp()
})

interface Found {
  readonly subject: string
  readonly key: string | null
  readonly file: string | null
  readonly message: string
}

interface Checked {
  readonly code: number
  readonly errors: ReadonlyArray<Found>
  readonly warnings: ReadonlyArray<Found>
}

/** Everything that stands in a folder, as far as it could be changed. */
const contents = (folder: string): ReadonlyArray<string> =>
  readdirSync(folder, { recursive: true, encoding: "utf8" })
    .sort()
    .map((name) => {
      const { ino, mode, mtimeMs, size } = lstatSync(join(folder, name))
      return `${name} ${ino} ${mode} ${mtimeMs} ${size}`
    })

/** Runs `check --json`, by a command in front, and sees to it that the folder is as it was. */
const check = async (directory: string, prefix: ReadonlyArray<string> = []): Promise<Checked> => {
  const before = contents(directory)
  const [first = "", ...others] = [...prefix, process.execPath, main, "check", "--json", "-c", directory]
  const { code, stderr, stdout } = await command(first, others)
  expect(stderr).toBe("")
  expect(contents(directory)).toEqual(before)
  return { code, ...JSON.parse(stdout) }
}

const pem = (directory: string, name: string, days = 30) => {
  const [key, certificate] = [join(directory, `${name}.key`), join(directory, `${name}.pem`)]
  run(
    ...(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"] as const),
    ...["-nodes", "-days", String(days), "-subj", `/CN=${name}`, "-keyout", key, "-out", certificate]
  )
  return { certificate, key }
}

/** What a set-up is made of; `directory` is there, with a configuration that is valid. */
interface SetUp {
  readonly name: string
  /** Breaks it: more of its configuration, or anything else of the machine; gives the command to check it by. */
  readonly make: (directory: string) => Omit<Options, "directory"> & { readonly by?: ReadonlyArray<string> }
  readonly subject: string
  readonly key?: string
  readonly says: RegExp
  readonly is?: "warning"
}

const node = (server: string): NodeEntry => ({ hostname: "n.example.com", "policy-server": server })

const upstream = { "output.upstream": { host: "127.0.0.1" } }
const relay = { general: { node_id: "relay" }, ...upstream }

/** A PATH with nothing but links to these commands. */
const pathOf = (directory: string, ...names: ReadonlyArray<string>) => {
  const bin = join(directory, "bin")
  mkdirSync(bin)
  for (const name of names) symlinkSync(run("sh", "-c", `command -v ${name}`), join(bin, name))
  return ["env", `PATH=${bin}`]
}

/** In a mount namespace of its own, where this was done first. */
const mounted = (script: string) => ["unshare", "-m", "sh", "-c", `${script} && exec "$@"`, "sh"]

/** In a container without more rights there are no such namespaces. */
const canMount = spawnSync("unshare", ["-m", "true"]).status === 0

const setUps: ReadonlyArray<SetUp> = [
  {
    name: "main.conf is not there",
    make: (directory) => ({
      by: [
        "sh",
        "-c",
        `mv ${directory}/main.conf ${directory}/other; "$@"; code=$?; mv ${directory}/other ${directory}/main.conf; exit $code`,
        "sh"
      ]
    }),
    subject: "configuration",
    says: /no such file/
  },
  {
    name: "main.conf is no TOML",
    make: () => ({ mainConf: () => "[general]\nlisten\n" }),
    subject: "configuration",
    says: /main\.conf:2:/
  },
  {
    name: "a key has a wrong type",
    make: () => ({ config: { general: { https_port: "many" } } }),
    subject: "configuration",
    key: "general.https_port",
    says: /expected .*, got "many"/
  },
  {
    name: "a key has a typing error",
    make: () => ({ config: { remote_run: { max_concurent: 3 } } }),
    subject: "configuration",
    says: /remote_run\.max_concurent \(nearest: remote_run\.max_concurrent\)/,
    is: "warning"
  },
  {
    name: "a variable of the environment has a typing error",
    make: () => ({ by: ["env", "RUDDER_RELAY_LOG__LEVEL=debug", "RUDDER_RELAY_LOG__LEVELS=debug"] }),
    subject: "configuration",
    says: /environment: .*RUDDER_RELAY_LOG__LEVELS \(nearest: RUDDER_RELAY_LOG__LEVEL\)/,
    is: "warning"
  },
  {
    name: "logging.conf has a level that is none",
    make: (directory) => {
      writeFileSync(join(directory, "logging.conf"), '[general]\nlevel = "loud"\n')
      return {}
    },
    subject: "configuration",
    key: "general.level",
    says: /got "loud"/
  },
  {
    name: "a relay has no policy server",
    make: () => ({ config: { general: { node_id: "relay" } } }),
    subject: "configuration",
    key: "output.upstream.host",
    says: /policy server/
  },
  {
    name: "someone relies on reports",
    make: () => ({ config: { "processing.reporting": { output: "database" } } }),
    subject: "configuration",
    key: "processing.reporting.output",
    says: /ignore_processing/
  },
  {
    name: "the certificate is given without its key, and is not there",
    make: () => ({ config: { tls: { certificate: "/nonexistent.pem" } } }),
    subject: "certificate",
    key: "tls.certificate",
    says: /\/nonexistent\.pem can't be read/
  },
  {
    name: "certificate and key are no pair",
    make: (directory) => {
      const { certificate } = pem(directory, "one")
      return { config: { tls: { certificate, key: pem(directory, "other").key } } }
    },
    subject: "certificate",
    key: "tls.certificate and tls.key",
    says: /can't be used together/
  },
  ...(["certificate", "key"] as const).map(
    (name): SetUp => ({
      name: `the file of the ${name} is empty`,
      make: (directory) => {
        const files = pem(directory, "one")
        writeFileSync(files[name], "")
        return { config: { tls: files } }
      },
      subject: "certificate",
      key: `tls.${name}`,
      says: /is empty/
    })
  ),
  {
    name: "the certificate has expired",
    make: (directory) => {
      const { key, cert: certificate } = certificateOf(newKey(2048), [[["CN", "old"]]], "20210101000000Z")
      const files = { certificate: join(directory, "old.pem"), key: join(directory, "old.key") }
      writeFileSync(files.certificate, certificate)
      writeFileSync(files.key, key)
      return { config: { tls: files } }
    },
    subject: "certificate",
    key: "tls.certificate",
    says: /has expired/
  },
  {
    name: "the certificate ends soon",
    make: (directory) => ({ config: { tls: pem(directory, "ending", 3) } }),
    subject: "certificate",
    key: "tls.certificate",
    says: /expires in 2 days/,
    is: "warning"
  },
  {
    name: "the key is another user's",
    make: (directory) => ({ config: { tls: pem(directory, "mine") }, by: withKill }),
    subject: "certificate",
    key: "tls.key",
    says: /mine\.key can't be read/
  },
  {
    name: "the command is not there",
    make: () => ({ config: { remote_run: { command: "/nonexistent" } } }),
    subject: "command",
    key: "remote_run.command",
    says: /is not there/
  },
  {
    name: "the command is not executable",
    make: () => ({ config: { remote_run: { command: "/etc/passwd" } } }),
    subject: "command",
    key: "remote_run.command",
    says: /is not executable/
  },
  {
    name: "sudo is not there",
    make: (directory) => ({
      config: { remote_run: { use_sudo: true } },
      by: pathOf(directory, "flock", "mkfifo")
    }),
    subject: "sudo",
    key: "remote_run.use_sudo",
    says: /no sudo in PATH/
  },
  {
    name: "flock is not there",
    make: (directory) => ({ by: pathOf(directory, "mkfifo") }),
    subject: "program",
    says: /no flock in PATH/
  },
  {
    name: "sudo has no rule",
    make: (directory) => {
      chownSync(directory, unit.uid, unit.uid)
      return { config: { remote_run: { use_sudo: true } }, by: withKill }
    },
    subject: "sudo",
    key: "remote_run.use_sudo",
    says: new RegExp(`sudo does not let ${user} run ".* remote run .*"`)
  },
  {
    name: "sudo wants a password",
    make: (directory) => {
      chownSync(directory, unit.uid, unit.uid)
      writeFileSync(sudoers, `${user} ALL = ${directory}/agent remote run *\n`, { mode: 0o440 })
      return { config: { remote_run: { use_sudo: true } }, by: withKill }
    },
    subject: "sudo",
    key: "remote_run.use_sudo",
    says: /a password is required/
  },
  {
    name: "sudo allows runs without classes alone",
    make: (directory) => {
      chownSync(directory, unit.uid, unit.uid)
      writeFileSync(sudoers, `${user} ALL = NOPASSWD: ${directory}/agent remote run -- *\n`, { mode: 0o440 })
      return { config: { remote_run: { use_sudo: true } }, by: withKill }
    },
    subject: "sudo",
    key: "remote_run.use_sudo",
    says: /remote run -D any -- localhost/
  },
  {
    name: "the daemon may not end what sudo starts",
    make: (directory) => {
      chownSync(directory, unit.uid, unit.uid)
      writeFileSync(sudoers, `${user} ALL = NOPASSWD: ${directory}/agent remote run *\n`, { mode: 0o440 })
      return { config: { remote_run: { use_sudo: true } }, by: asUser }
    },
    subject: "sudo",
    key: "remote_run.use_sudo",
    says: /CAP_KILL/,
    is: "warning"
  },
  {
    name: "a file stands where the runs' folder would be",
    make: (directory) => ({ config: { remote_run: { directory: join(directory, "agent") } } }),
    subject: "folder",
    key: "remote_run.directory",
    says: /agent is not a folder/
  },
  {
    name: "a folder is another user's",
    make: (directory) => {
      mkdirSync(join(directory, "shared-files"), { mode: 0o700 })
      return { by: withKill }
    },
    subject: "folder",
    key: "shared_files.path",
    says: new RegExp(`can't be made or written by ${user}: EACCES`)
  },
  {
    name: "two keys name one folder",
    make: (directory) => ({ config: { remote_run: { directory: join(directory, "shared-files") } } }),
    subject: "folder",
    key: "shared_files.path",
    says: /is remote_run\.directory's folder/
  },
  {
    name: "a lock is another user's",
    make: (directory) => {
      chownSync(directory, unit.uid, unit.uid)
      mkdirSync(join(directory, "runs"))
      chownSync(join(directory, "runs"), unit.uid, unit.uid)
      writeFileSync(join(directory, "runs/~lock"), "", { mode: 0o600 })
      return { by: withKill }
    },
    subject: "folder",
    key: "remote_run.directory",
    says: /the lock in \S+ can't be taken/
  },
  {
    name: "the address is not this machine's",
    make: () => ({ config: { general: { listen: "192.0.2.1:3030" } } }),
    subject: "listener",
    key: "general.listen",
    says: /can't listen on 192\.0\.2\.1:3030/
  },
  {
    name: "the policy server's name has no address",
    make: () => ({ config: { ...relay, "output.upstream": { host: "nowhere.invalid" } } }),
    subject: "name",
    key: "output.upstream.host",
    says: /nowhere\.invalid has no address/,
    is: "warning"
  },
  {
    name: "a name that may call has no address",
    make: () => ({ config: { access: { admin: ["127.0.0.1", "nowhere.invalid"] } } }),
    subject: "name",
    key: "access.admin",
    says: /nowhere\.invalid has no address/,
    is: "warning"
  },
  {
    name: "the policy server's certificate is not there yet",
    make: () => ({
      config: {
        ...relay,
        "output.upstream": { host: "127.0.0.1", server_certificate_file: "/nonexistent.pem" }
      }
    }),
    subject: "certificate",
    key: "output.upstream.server_certificate_file",
    says: /until it is there/,
    is: "warning"
  },
  {
    name: "the policy server's certificate is none",
    make: () => ({
      config: { ...relay, "output.upstream": { host: "127.0.0.1", server_certificate_file: "/etc/passwd" } }
    }),
    subject: "certificate",
    key: "output.upstream.server_certificate_file",
    says: /no certificate/
  },
  {
    name: "the authorities can't be read",
    make: () => ({
      config: {
        ...relay,
        general: { node_id: "relay", peer_authentication: "cert_validation", ca_path: "/nonexistent.pem" }
      }
    }),
    subject: "certificate",
    key: "general.ca_path",
    says: /can't be read/
  },
  {
    name: "the nodes list is no JSON",
    make: (directory) => {
      writeFileSync(join(directory, "list"), "nodes")
      return { config: { general: { nodes_list_file: join(directory, "list") } } }
    },
    subject: "nodes-list",
    key: "general.nodes_list_file",
    says: /expected a JSON object/
  },
  {
    name: "the nodes list is a pipe",
    make: (directory) => {
      run("mkfifo", join(directory, "pipe"))
      return { config: { general: { nodes_list_file: join(directory, "pipe") } } }
    },
    subject: "nodes-list",
    key: "general.nodes_list_file",
    says: /not a regular file/
  },
  {
    name: "the nodes list has bad entries",
    make: () => ({ nodes: { good: node("root"), bad: { hostname: "-x", "policy-server": "root" } } }),
    subject: "nodes-list",
    key: "general.nodes_list_file",
    says: /host name that is never contacted: bad/,
    is: "warning"
  },
  {
    name: "the nodes' certificates are none",
    make: () => ({ config: { general: { nodes_certs_file: "/etc/passwd" } } }),
    subject: "node-certificates",
    key: "general.nodes_certs_file",
    says: /no certificate/
  },
  {
    name: "a sub-relay has no certificate",
    make: () => ({
      nodes: { sub: node("root"), below: node("sub") },
      config: { general: { nodes_certs_file: "/nonexistent.pem" } }
    }),
    subject: "node-certificates",
    key: "general.nodes_certs_file",
    says: /nothing is sent to the sub-relays sub$/,
    is: "warning"
  },
  {
    name: "there is little room left",
    make: () => ({ config: { shared_files: { min_free: "900000GiB" } } }),
    subject: "room",
    key: "shared_files.path",
    says: /are refused with 507/,
    is: "warning"
  },
  {
    name: "the shared folder is a file",
    make: () => ({ config: { shared_folder: { path: "/etc/passwd" } } }),
    subject: "shared-folder",
    key: "shared_folder.path",
    says: /is not a folder/
  },
  {
    name: "root checks what is to be another user's",
    make: (directory) => {
      mkdirSync(join(directory, "runs"))
      chownSync(join(directory, "runs"), unit.uid, unit.uid)
      return {}
    },
    subject: "user",
    key: "remote_run.directory",
    says: new RegExp(`belongs to ${user}`),
    is: "warning"
  }
]

/** What needs a mount namespace. */
const mountedSetUps: ReadonlyArray<SetUp> = [
  {
    name: "a file system is read only",
    make: (directory) => ({
      by: mounted(`mount --bind ${directory} ${directory} && mount -o remount,ro,bind ${directory}`)
    }),
    subject: "folder",
    key: "remote_run.directory",
    says: /EROFS/
  },
  {
    name: "a file system has no room for another file",
    make: (directory) => {
      const folder = join(directory, "shared-files")
      mkdirSync(folder)
      const full = `mount -t tmpfs -o nr_inodes=2 tmpfs ${folder} && mkdir ${folder}/~tmp`
      return { by: mounted(full) }
    },
    subject: "folder",
    key: "shared_files.path",
    says: /ENOSPC/
  },
  {
    // A relay starts there all the same: what waits in the outbox may be what fills it.
    name: "a file system is full",
    make: (directory) => {
      const folder = join(directory, "shared-files")
      mkdirSync(folder)
      const small = `mount -t tmpfs -o size=64k tmpfs ${folder} && mkdir ${folder}/~tmp`
      return { by: mounted(`${small} && { cat /dev/zero >${folder}/filler 2>/dev/null; true; }`) }
    },
    subject: "room",
    key: "shared_files.path",
    says: /are free for .* files are refused with 507/,
    is: "warning"
  }
]

const made = ({ make }: Pick<SetUp, "make">) => {
  const directory = prepare()
  const { by, ...options } = make(directory)
  return { directory: prepare({ directory, ...options }), by }
}

describe("check", () => {
  it.each([...setUps, ...(canMount ? mountedSetUps : [])])(
    "finds that $name",
    async ({ is, key = null, make, says, subject }) => {
      const { by, directory } = made({ make })
      const { code, errors, warnings } = await check(directory, by)
      expect(is === "warning" ? warnings : errors).toContainEqual({
        subject,
        key,
        file: expect.toSatisfy((file) => file === null || String(file).startsWith("/")),
        message: expect.stringMatching(says)
      })
      expect(code).toBe(errors.length > 0 ? 2 : 0)
      if (is === "warning") expect(errors).toEqual([])
    }
  )

  it("finds nothing wrong with what is in order, by sudo as by root", async () => {
    const directory = prepare({ config: { remote_run: { use_sudo: true } } })
    chownSync(directory, unit.uid, unit.uid)
    writeFileSync(sudoers, `${user} ALL = NOPASSWD: ${directory}/agent remote run *\n`, { mode: 0o440 })
    expect(await check(directory, withKill)).toEqual({ code: 0, errors: [], warnings: [] })
    expect(await check(prepare())).toEqual({ code: 0, errors: [], warnings: [] })
  })

  it("says ten things at once, of both files, the environment and what is named, warnings apart", async () => {
    const directory = prepare()
    writeFileSync(join(directory, "logging.conf"), '[general]\nlevel = "loud"\n')
    const { key } = pem(directory, "mine")
    chmodSync(key, 0o600)
    prepare({
      directory,
      config: {
        general: {
          node_id: "relay",
          https_port: "many",
          listen: "192.0.2.1:3030",
          nodes_certs_file: "/etc/passwd"
        },
        "processing.inventory": { output: "upstream" },
        "output.upstream": { host: "nowhere.invalid", server_certificate_file: "/etc/passwd" },
        tls: { key },
        remote_run: { command: "/nonexistent", use_sudo: true, directory: "/proc/runs", colour: "blue" },
        shared_files: { max_uploads: -1, path: "/etc/passwd", outbox: "/sys/outbox" }
      }
    })
    writeFileSync(join(directory, "nodeslist.json"), "[")
    const { code, errors, warnings } = await check(directory, asUser)
    expect(code).toBe(2)
    const told = [...errors.map(({ key }) => key), ...warnings.map(({ subject }) => subject)]
    expect(told).toEqual(
      expect.arrayContaining([
        ...["general.https_port", "shared_files.max_uploads", "processing.inventory.output", "general.level"],
        ...["tls.key", "remote_run.command", "remote_run.directory", "shared_files.path"],
        ...["shared_files.outbox", "output.upstream.server_certificate_file", "general.nodes_list_file"],
        ...["general.nodes_certs_file", "remote_run.use_sudo", "general.listen"],
        ...["configuration", "name", "sudo"]
      ])
    )
    // As lines, and by relayd's own option, it is the same.
    const lines = await command("env", [...asUser, process.execPath, main, "-c", directory, "-t"])
    expect(lines.code).toBe(2)
    expect(lines.stderr).toContain(`\n${directory}: ${errors.length} errors, ${warnings.length} warnings\n`)
    expect(lines.stderr.match(/^warning: /gm)?.length).toBe(warnings.length)
    const json = await command("env", [...asUser, process.execPath, main, "-c", directory, "-t", "--json"])
    expect(JSON.parse(json.stdout)).toEqual({ errors, warnings })
    expect((await program("-c", directory, "--json")).code).toBe(2)
  })
})

describe("an address that is taken", () => {
  it("by another program is an error, which names it", async () => {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    try {
      const address = server.address()
      const port = typeof address === "object" ? address?.port : 0
      const { code, errors } = await check(prepare({ config: { general: { listen: `127.0.0.1:${port}` } } }))
      expect(code).toBe(2)
      expect(errors[0]?.message).toContain(`another program: process ${process.pid}`)
    } finally {
      await new Promise((resolve) => server.close(resolve))
    }
  })

  it("by the relay of this configuration is as it should be, for root and for the relay's user", async () => {
    const directory = prepare()
    chownSync(directory, unit.uid, unit.uid)
    const running = await start({ directory, prefix: withKill })
    prepare({ directory, config: { general: { listen: `127.0.0.1:${running.port}` } } })
    for (const by of [[], withKill]) {
      const { code, errors, warnings } = await check(directory, by)
      expect({ code, errors }).toEqual({ code: 0, errors: [] })
      expect(warnings.map(({ message }) => message)).toContain(
        `127.0.0.1:${running.port} is in use by the relay that runs on this configuration already, process ${running.pid}`
      )
    }
  })

  it("by the relay of another configuration is an error, and so are folders that it has", async () => {
    const running = await start()
    const folder = join(running.directory, "runs")
    const other = prepare({
      config: { general: { listen: `127.0.0.1:${running.port}` }, remote_run: { directory: folder } }
    })
    const { code, errors } = await check(other)
    expect(code).toBe(2)
    const messages = errors.map(({ message }) => message)
    expect(messages).toContainEqual(expect.stringContaining(`another program: process ${running.pid}`))
    expect(messages).toContainEqual(
      expect.stringContaining(`another relay works on ${folder}: process ${running.pid}`)
    )
    expect(readFileSync(join(folder, "~lock"), "utf8")).toContain(String(running.pid))
    expect(await running.stop()).toBe(0)
  })
})

describe("what does not answer", () => {
  it("is waited for no longer than its time: a sudo that hangs", async () => {
    const directory = prepare({ config: { remote_run: { use_sudo: true } } })
    const by = pathOf(directory, "flock", "mkfifo", "sleep")
    writeFileSync(join(directory, "bin/sudo"), "#!/bin/sh\nexec sleep 1000\n", { mode: 0o755 })
    const { code, warnings } = await check(directory, by)
    expect(code).toBe(0)
    expect(warnings).toContainEqual({
      subject: "sudo",
      key: "remote_run.use_sudo",
      file: null,
      message: "what sudo allows could not be told in 10 s"
    })
  })

  it.each(canMount ? ["a name server that is silent"] : [])("likewise: %s", async () => {
    const directory = prepare({ config: { ...relay, "output.upstream": { host: "policy.example.com" } } })
    const resolver = join(directory, "resolv.conf")
    writeFileSync(resolver, "nameserver 127.0.0.1\noptions timeout:30 attempts:5\n")
    const silent =
      "import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('127.0.0.1', 53)); print(flush=True); s.recv(1); __import__('time').sleep(600)"
    const script = `mount --bind ${resolver} /etc/resolv.conf; ip link set lo up
      python3 -c "${silent}" > ${directory}/bound & server=$!; until [ -s ${directory}/bound ]; do sleep 0.05; done
      "$@"; code=$?; kill $server; rm ${directory}/bound; exit $code`
    const { code, warnings } = await check(directory, ["unshare", "-m", "-n", "sh", "-c", script, "sh"])
    expect(code).toBe(0)
    expect(warnings.map(({ message }) => message)).toContain(
      "whether policy.example.com has an address could not be told in 10 s"
    )
  })
})
