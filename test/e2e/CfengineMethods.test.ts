/** The ncf methods by themselves: what ncf reads of them, what CFEngine says of them, and what they do when it goes wrong. */
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { dirname, join } from "node:path"
import { beforeAll, beforeEach, describe, expect, it } from "vitest"
import { freePort, type Host, introduce, serve } from "./support/Cfengine.ts"
import { nodeOf, onSite } from "./support/CfengineSite.ts"
import { command, type Relay } from "./support/Program.ts"
import {
  classesOf,
  fromNode,
  install,
  methodFiles,
  methodsFolder,
  policyOf,
  quoted,
  settle,
  startAs,
  synchronise,
  toNode,
  use
} from "./support/Sharing.ts"

let folder: string
let relay: Relay
let a: Host
let b: Host
let copyPort: number
/** Nothing listens there. */
let closedPort: number

const settings = (id: string): Record<string, string> => ({
  node_id: id,
  server: "127.0.0.1",
  port: String(copyPort),
  path: join(relay.directory, "shared-files"),
  relay_url: relay.url
})

onSite(async ({ host, user, ...site }) => {
  folder = site.folder
  const server = host("server")
  a = host("a")
  b = host("b")
  introduce(b, server)
  relay = await startAs(user, {
    nodes: { A: nodeOf(a), B: nodeOf(b) },
    config: { shared_files: { layout: "rudder" } }
  })
  copyPort = await serve(server, { folders: { [join(relay.directory, "shared-files/B")]: [b.digest] } })
  closedPort = await freePort()
  return relay
})
beforeEach(() => {
  install(a, settings("A"))
  install(b, settings("B"))
})

const stored = (fileId: string) => join(relay.directory, "shared-files/B/files/A", fileId)
/** Every path below a folder. */
const pathsIn = (top: string) =>
  existsSync(top) ? readdirSync(top, { recursive: true }).map(String).sort() : []

describe.each(["sharedfile_to_node", "sharedfile_from_node"])("the header of %s", (method) => {
  const text = readFileSync(join(methodsFolder, `${method}.cf`), "utf8")
  const header = text.slice(0, text.indexOf("\nbundle "))
  const tags = (tag: string) =>
    [...header.matchAll(new RegExp(`^# @${tag} +(.*)$`, "gm"))].map(([, value = ""]) => value)
  const words = (value: string) => {
    const [, name = "", rest = ""] = /^(\S+)\s+(.*)$/.exec(value) ?? []
    return [name, rest] as const
  }
  const [, bundle, args = ""] = /\nbundle agent (\w+)\((.*)\)/.exec(text) ?? []
  const parameters = args.split(", ")

  it("names it, describes it, and says which classes it defines", () => {
    expect(bundle).toBe(method)
    expect(text.match(/^bundle /gm)).toHaveLength(1)
    expect(tags("name")).toEqual([expect.stringMatching(/^Sharedfile (to|from) node$/)])
    expect(tags("description")).toEqual([expect.stringMatching(/^\w.+$/)])
    expect(tags("class_prefix")).toEqual([method])
    expect(tags("class_parameter")).toEqual(["file_id"])
    expect(parameters).toContain("file_id")
    expect(header).toMatch(
      new RegExp(`^# This bundle defines the classes ${method}_\\$\\{file_id\\}_\\{kept,repaired,error,`, "m")
    )
  })

  it("describes every parameter, in order, and what it may be", () => {
    expect(tags("parameter").map((value) => words(value)[0])).toEqual(parameters)
    for (const value of tags("parameter")) expect(words(value)[1]).toMatch(/^\w.+/)
    const constraints = tags("parameter_constraint").map((value) => {
      const [parameter, constraint] = words(value)
      return [parameter, JSON.parse(`{${constraint}}`)]
    })
    const id = { regex: "^[A-Za-z0-9._-]{1,200}$" }
    const path = { allow_whitespace_string: true }
    const ttl: Array<[string, Record<string, unknown>]> = [
      ["ttl", { allow_empty_string: true }],
      ["ttl", { regex: "^[A-Za-z0-9 ]*$" }]
    ]
    expect(constraints).toEqual(
      parameters.flatMap((parameter): typeof ttl =>
        parameter === "ttl" ? ttl : [[parameter, parameter === "file_path" ? path : id]]
      )
    )
  })
})

describe("cf-promises has nothing to say of the methods", () => {
  const check = async (policy: string) => {
    const input = a.input("checked.cf", policy)
    return a.cfengine("cf-promises", "--full-check", "--warn", "all", "--file", input)
  }
  const silence = { code: 0, stdout: "", stderr: "" }
  const calls = [toNode("B", "id", "/etc/motd", "1d"), fromNode("A", "id", "/etc/motd"), synchronise]

  it("used together, alone, and with CFEngine's own library", async () => {
    expect(await check(policyOf(calls))).toEqual(silence)
    for (const file of methodFiles.slice(1)) {
      const inputs = `inputs => { "sharedfile/_sharedfile.cf", "sharedfile/${file}" };`
      const bundles = `bundlesequence => { "none" };`
      const alone = `body common control { ${inputs} ${bundles} }\nbundle agent none { }`
      expect(await check(alone)).toEqual(silence)
    }
    const library = "/usr/share/cfengine3/masterfiles/lib/stdlib.cf"
    cpSync(dirname(library), join(a.folder, "inputs/lib"), { recursive: true })
    expect(await check(policyOf(calls, "", ["lib/stdlib.cf"]))).toEqual(silence)
  })

  it("nor of a mistake in them nothing", async () => {
    const file = join(a.folder, "inputs/sharedfile/sharedfile_to_node.cf")
    writeFileSync(file, readFileSync(file, "utf8").replace("sharedfile_always", "sharedfile_never"))
    expect(await check(policyOf(calls))).toMatchObject({ code: 1 })
  })
})

describe("the settings", () => {
  const names = ["node_id", "server", "relay_url", "key", "port", "path", "layout", "own_path", "daemon_user"]
  const more = `
bundle agent settings
{
  vars:
      "names" slist => { ${names.map(quoted).join(", ")} };
  reports:
      "$(names) is $(sharedfile.$(names))" action => now;
}
bundle common g { vars: "uuid" string => "the-id"; }
bundle common server_info { vars: "policy_server" string => "server.example.com"; }`

  it("are Rudder's where none are set", async () => {
    settle(a, {})
    const { reports } = await use(a, ["settings"], { more })
    expect(reports).toEqual([
      "node_id is the-id",
      "server is server.example.com",
      "relay_url is https://server.example.com/rudder/relay-api",
      `key is ${a.folder}/ppkeys/localhost.priv`,
      "port is 5309",
      "path is /var/rudder/shared-files",
      "layout is rudder",
      "own_path is /var/rudder/shared-files",
      "daemon_user is rudder-relayd"
    ])
  })

  it("are those of augments, and others follow from them", async () => {
    settle(a, { server: "other.example.com", path: "/srv/files" })
    const { reports } = await use(a, ["settings"], { more })
    expect(reports).toContain("relay_url is https://other.example.com/rudder/relay-api")
    expect(reports).toContain("own_path is /srv/files")
    expect(reports).toContain("node_id is the-id")
  })
})

describe("where ncf is", () => {
  it("its log is told of each outcome, with what it needs to find the classes", async () => {
    const file = join(folder, "logged")
    writeFileSync(file, "logged")
    const more = `
bundle agent _log_v3(message, class_parameter, old_class_prefix, class_prefix, args)
{
  vars:
      "all"  string => join("|", "args");
      "kept" string => ifelse("$(old_class_prefix)_kept", "kept", "$(old_class_prefix)_repaired", "repaired", "error");
  reports:
      "$(kept): $(message): $(class_parameter), $(old_class_prefix), $(all)" action => now;
}`
    const calls = [
      toNode("B", "log-1", file, "1d"),
      toNode("B", "log-2", `${file}.not`),
      fromNode("A", "log-1", `${file}.copy`)
    ]
    expect((await use(a, calls.slice(0, 2), { more })).reports).toEqual([
      `repaired: log-1 was shared with B: log-1, sharedfile_to_node_log_1, B|log-1|${file}|1d`,
      `error: log-2 is not shared with B: the file does not exist: log-2, sharedfile_to_node_log_2, B|log-2|${file}.not|`
    ])
    for (const outcome of ["repaired: log-1 of A was copied", "kept: log-1 of A is there"])
      expect((await use(b, calls.slice(2), { more })).reports).toEqual([
        `${outcome}: log-1, sharedfile_from_node_log_1, A|log-1|${file}.copy`
      ])
  })
})

/** Names of files that mean something to a shell, to curl, to a URL, or to CFEngine. */
const oddNames = [
  " two  words ",
  "it's 'quoted'",
  'say "hi"',
  '"',
  `'"'"'`,
  '" "=passwd" "',
  "$HOME $1 $",
  "`id`;id;#",
  "a&b|c>d<e!",
  "-rf",
  "*?[a-c]{d,e}[1-2]",
  "(a)~",
  "@file",
  "@(list)",
  "100% %20%2f%s%n",
  "back\\slash\\",
  '\\n\\"',
  "tab\tand\rreturn",
  "new\nline\n",
  "ünï-☃-日本",
  "x".repeat(249),
  `"${"y".repeat(248)}`
]

describe("a path may hold any character", () => {
  it("of the file that is shared", async () => {
    const top = join(folder, "odd")
    mkdirSync(top)
    const calls = oddNames.map((name, i) => {
      writeFileSync(join(top, name), `content of ${name}`)
      return toNode("B", `odd_${i}`, join(top, name))
    })
    const { classes, reports } = await use(a, calls)
    expect(reports).toEqual([])
    expect(classes).toEqual(
      oddNames.flatMap((_, i) => classesOf(`sharedfile_to_node_odd_${i}`, "repaired")).sort()
    )
    for (const [i, name] of oddNames.entries())
      expect(readFileSync(stored(`odd_${i}`), "utf8")).toBe(`content of ${name}`)
    expect(pathsIn(top)).toEqual([...oddNames].sort())
  })

  it("of the copy", async () => {
    const top = join(folder, "odd-copies")
    mkdirSync(top)
    const calls = oddNames.map((name, i) => fromNode("A", `odd_${i}`, join(top, name)))
    const { classes, reports } = await use(b, calls)
    expect(reports).toEqual([])
    expect(classes).toEqual(
      oddNames.flatMap((_, i) => classesOf(`sharedfile_from_node_odd_${i}`, "repaired")).sort()
    )
    for (const name of oddNames) expect(readFileSync(join(top, name), "utf8")).toBe(`content of ${name}`)
    expect(pathsIn(top)).toEqual([...oddNames].sort())
  })

  it("and be long", async () => {
    const deep = join(folder, ...Array(12).fill("d".repeat(200)))
    mkdirSync(deep, { recursive: true })
    writeFileSync(join(deep, "file"), "deep")
    const { classes, reports } = await use(a, [toNode("B", "deep", join(deep, "file"))])
    expect({ classes, reports }).toEqual({
      classes: classesOf("sharedfile_to_node_deep", "repaired"),
      reports: []
    })
    // CFEngine could not be told of this one.
    writeFileSync(join(deep, 'a"b'), "deep")
    const long = await use(a, [toNode("B", "long", join(deep, 'a"b'))])
    expect(long.classes).toEqual(classesOf("sharedfile_to_node_long", "error"))
    expect(long.reports).toEqual([expect.stringContaining("a path of less than 1000 bytes where it has one")])
  })
})

it("a key that an older CFEngine made, with its passphrase, signs too", async () => {
  const key = join(folder, "older.priv")
  const passphrase = "pass:Cfengine passphrase"
  const made = await command("openssl", [
    ...["rsa", "-in", join(a.folder, "ppkeys/localhost.priv"), "-traditional"],
    ...["-aes256", "-passout", passphrase, "-out", key]
  ])
  expect(made).toMatchObject({ code: 0 })
  expect(readFileSync(key, "utf8")).toContain("ENCRYPTED")
  settle(a, { ...settings("A"), key })
  const { classes } = await use(a, [toNode("B", "older", key)])
  expect(classes).toEqual(classesOf("sharedfile_to_node_older", "repaired"))
})

/** What the one report of a call says, and its classes are those of an error. */
const errorOf = async (
  on: Host,
  usebundle: string,
  prefix: string,
  options: Parameters<typeof use>[2] = {}
) => {
  const { classes, reports } = await use(on, [usebundle], options)
  expect(classes).toEqual(classesOf(prefix, "error"))
  expect(reports).toHaveLength(1)
  return reports[0] ?? ""
}

describe("sharedfile_to_node is an error, and one line says why, when", () => {
  const at = (name: string) => join(folder, name)
  const errorWith = async (
    wrong: Record<string, string | undefined>,
    target = "B",
    path = at("shared"),
    ttl = ""
  ) => {
    const all = Object.entries({ ...settings("A"), ...wrong })
    settle(
      a,
      Object.fromEntries(all.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])))
    )
    const report = await errorOf(a, toNode(target, "wrong", path, ttl), "sharedfile_to_node_wrong")
    const start = `sharedfile_to_node: wrong is not shared with ${target}: `
    expect(report.slice(0, start.length)).toBe(start)
    expect(existsSync(stored("wrong"))).toBe(false)
    return report.slice(start.length)
  }
  beforeAll(() => {
    writeFileSync(at("shared"), "shared")
    mkdirSync(at("a-folder"))
    symlinkSync(at("nowhere"), at("dangling"))
    writeFileSync(at("no-key"), "no key")
  })

  it.each<[string, () => Parameters<typeof errorWith>, RegExp]>([
    [
      "the relay is down",
      () => [{ relay_url: `http://127.0.0.1:${closedPort}/rudder/relay-api` }],
      /^no answer from http:\/\/127\.0\.0\.1:\d+\/rudder\/relay-api: curl: \(7\) /
    ],
    [
      "it has no such name",
      () => [{ relay_url: "http://no-such-relay.invalid" }],
      /^no answer from .*: curl: \(6\) /
    ],
    [
      "no relay is there",
      () => [{ relay_url: `${relay.origin}/nothing` }],
      /^the relay answered 404 .*NotFound/
    ],
    ["the key is not there", () => [{ key: at("nowhere") }], /^cannot sign with \S+\/nowhere: /],
    ["the key is none", () => [{ key: at("no-key") }], /^cannot sign with \S+\/no-key: /],
    ["the file is not there", () => [{}, "B", at("nowhere")], /^the file does not exist$/],
    ["the file is a link to nowhere", () => [{}, "B", at("dangling")], /^the file does not exist$/],
    ["the file is a folder", () => [{}, "B", at("a-folder")], /^the file is not a regular file$/],
    ["the path is not absolute", () => [{}, "B", "shared"], /^the file's path is not absolute$/],
    ["the path is empty", () => [{}, "B", ""], /^the file's path is not absolute$/],
    ["the target is not known", () => [{}, "X"], /^the relay answered 404 .*UnknownTarget/],
    ["the target is no id", () => [{}, "../A"], /^expected ids of letters/],
    [
      "the ttl is no text for a ttl",
      () => [{}, "B", at("shared"), "1d;2h"],
      /^expected .* a ttl such as 2d 3h/
    ],
    ["the ttl is none", () => [{}, "B", at("shared"), "forever"], /^the relay answered 400 .*ttl/],
    ["a setting has a quote", () => [{ ca: 'a"b' }], /^expected .* settings without double quotes/],
    ["this node's id is not known", () => [{ node_id: undefined }], /a variable that does not exist$/],
    [
      "a parameter is not known",
      () => [{}, "B", "$(no.such)"],
      /^a parameter.* is a variable that does not exist$/
    ]
  ])("%s", async (_name, wrong, reason) => {
    expect(await errorWith(...wrong())).toMatch(reason)
  })

  it("its script is not beside it", async () => {
    rmSync(join(a.folder, "inputs/sharedfile/sharedfile_to_node.sh"))
    expect(await errorWith({})).toMatch(/sharedfile_to_node\.sh/)
  })

  it("another call of the same run is none", async () => {
    const calls = [
      toNode("B", "one", at("shared")),
      toNode("B", "two", at("nowhere")),
      toNode("X", "three", at("shared")),
      toNode("B", "four", at("shared"))
    ]
    const { classes, reports } = await use(a, calls)
    expect(classes).toEqual(
      [
        ...classesOf("sharedfile_to_node_one", "repaired"),
        ...classesOf("sharedfile_to_node_two", "error"),
        ...classesOf("sharedfile_to_node_three", "error"),
        ...classesOf("sharedfile_to_node_four", "repaired")
      ].sort()
    )
    expect(reports.map((line) => line.slice(0, 40))).toEqual([
      "sharedfile_to_node: two is not shared wi",
      "sharedfile_to_node: three is not shared "
    ])
  })

  it("the file's id is not known: then there are no classes to define", async () => {
    const { classes, reports } = await use(a, [toNode("B", "$(no.such)", at("shared"))])
    expect({ classes, reports }).toEqual({
      classes: [],
      reports: ["sharedfile_to_node: the file id is a variable that does not exist"]
    })
  })
})

describe("sharedfile_from_node is an error, and one line says why, when", () => {
  const at = (name: string) => join(folder, name)
  const errorWith = async (wrong: Record<string, string>, path = at("wrong-copy"), source = "A") => {
    settle(b, { ...settings("B"), ...wrong })
    const report = await errorOf(b, fromNode(source, "got", path), "sharedfile_from_node_got")
    const start = `sharedfile_from_node: got of ${source} is not up to date: `
    expect(report.slice(0, start.length)).toBe(start)
    expect(existsSync(at("wrong-copy")) || existsSync(at("nowhere"))).toBe(false)
    return report.slice(start.length)
  }
  beforeAll(async () => {
    writeFileSync(at("to-get"), "to get")
    mkdirSync(at("in-the-way/folder"), { recursive: true })
    expect((await command("mkfifo", [at("pipe")])).code).toBe(0)
    install(a, settings("A"))
    expect((await use(a, [toNode("B", "got", at("to-get"))])).reports).toEqual([])
  })

  it.each<[string, () => Parameters<typeof errorWith>, RegExp]>([
    [
      "the policy server is down",
      () => [{ port: String(closedPort) }],
      /cannot be copied from 127\.0\.0\.1, port \d+$/
    ],
    [
      "it has no such file",
      () => [{}, at("wrong-copy"), "C"],
      /B\/files\/C\/got cannot be copied from 127\.0\.0\.1, port \d+$/
    ],
    ["it is another's", () => [{ node_id: "C" }], /C\/files\/A\/got cannot be copied from /],
    [
      "the path is not absolute",
      () => [{}, "wrong-copy"],
      /^expected ids .* and an absolute path of a file$/
    ],
    ["the source is no id", () => [{}, at("wrong-copy"), "../A"], /^expected ids /],
    ["a folder is in the way", () => [{}, at("in-the-way")], /what is there now is not a regular file$/],
    ["a pipe is in the way", () => [{}, at("pipe")], /what is there now is not a regular file$/],
    [
      "the path is a folder's",
      () => [{}, `${at("nowhere")}/`],
      /^expected ids .* and an absolute path of a file$/
    ],
    ["a file is where its folder should be", () => [{}, at("to-get/copy")], /cannot be copied from /],
    [
      "a parameter is not known",
      () => [{}, "$(no.such)"],
      /^a parameter.* is a variable that does not exist$/
    ]
  ])("%s", async (_name, wrong, reason) => {
    expect(await errorWith(...wrong())).toMatch(reason)
  })
})

describe("in dry-run mode nothing changes", () => {
  const args = ["--dry-run"]

  it("where a file would be shared or copied: that is an error; else it is kept", async () => {
    const file = join(folder, "dry")
    const copies = join(folder, "dry-copies")
    writeFileSync(file, "as it is")
    const share = (fileId: string) => use(a, [toNode("B", fileId, file)], { args })
    const get = (path: string) => use(b, [fromNode("A", "dry", path)], { args })
    const before = pathsIn(relay.directory)
    const dry = await share("dry")
    expect(dry.classes).toEqual(classesOf("sharedfile_to_node_dry", "error"))
    expect(dry.reports).toEqual([
      "sharedfile_to_node: dry is not shared with B: the relay does not have it, and in dry-run mode it is not sent"
    ])
    expect(pathsIn(relay.directory)).toEqual(before)
    await use(a, [toNode("B", "dry", file)])
    expect((await share("dry")).classes).toEqual(classesOf("sharedfile_to_node_dry", "kept"))
    const got = await get(join(copies, "copy"))
    expect(got.classes).toEqual(classesOf("sharedfile_from_node_dry", "error"))
    expect(got.reports).toEqual([expect.stringMatching(/ in dry-run mode nothing is copied$/)])
    expect(existsSync(copies)).toBe(false)
    mkdirSync(copies)
    writeFileSync(join(copies, "copy"), "as it was")
    expect((await get(join(copies, "copy"))).classes).toEqual(classesOf("sharedfile_from_node_dry", "error"))
    expect(readFileSync(join(copies, "copy"), "utf8")).toBe("as it was")
    expect(pathsIn(copies)).toEqual(["copy"])
    await use(b, [fromNode("A", "dry", join(copies, "copy"))])
    expect((await get(join(copies, "copy"))).classes).toEqual(classesOf("sharedfile_from_node_dry", "kept"))
  })
})
