/** Real cf-agents share a file across a tree of relays: A is below one, B below another, root above both. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { dirname, join, relative } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { until } from "../support/Until.ts"
import { type DaemonUser, endServers, freePort, type Host, introduce, serve } from "./support/Cfengine.ts"
import { onSite } from "./support/CfengineSite.ts"
import { type Identity, makeIdentity } from "./support/Identities.ts"
import { lineTo } from "./support/Line.ts"
import { endLines } from "./support/Lines.ts"
import { cleanUp, curl, type Relay } from "./support/Program.ts"
import {
  classesOf,
  documentedBlocks,
  fieldsOf,
  fromNode,
  install,
  reportsOf,
  secureUrl,
  settle,
  startAs,
  synchronise,
  toNode,
  use
} from "./support/Sharing.ts"

let folder: string
let user: DaemonUser
let identities: Record<"root" | "R1", Identity>
let hosts: Record<"root" | "R2" | "a" | "b" | "c" | "d", Host>

onSite(async ({ host, ...site }) => {
  folder = site.folder
  user = site.user
  const [root, R1] = await Promise.all([makeIdentity("root"), makeIdentity("R1")])
  identities = { root, R1 }
  hosts = { root: host("root"), R2: host("R2"), a: host("a"), b: host("b"), c: host("c"), d: host("d") }
  introduce(hosts.R2, hosts.root)
  introduce(hosts.b, hosts.R2)
  return undefined
})

type Layout = "rudder" | "tree"

/** The relays, each with what it knows; A and D are below R1, B and C below R2. Root takes D for another. */
const startRelays = async (layout: Layout) => {
  const below = (policyServer: string, on?: Host) => ({
    hostname: "127.0.0.1",
    "policy-server": policyServer,
    ...(on === undefined ? {} : { "key-hash": on.keyHash })
  })
  const R1 = { A: below("R1", hosts.a), D: below("R1", hosts.d) }
  const R2 = { B: below("R2", hosts.b), C: below("R2", hosts.c) }
  const all = {
    root: below("root"),
    R1: below("root"),
    R2: below("root"),
    R3: below("R2"),
    E: below("R3"),
    ...R1,
    ...R2,
    D: below("R1", hosts.c)
  }
  const storage = { shared_files: { layout }, "shared_files.cleanup": { frequency: "200ms" } }
  const root = await startAs(user, { identity: identities.root, nodes: all, config: storage })
  const upstream = { identity: identities.root, port: root.port }
  const line = await lineTo(root.port)
  return {
    root,
    /** From R1 to root. */
    line,
    R1: await startAs(user, {
      identity: identities.R1,
      upstream: { ...upstream, port: line.port },
      nodes: R1,
      config: {
        shared_files: { layout, "retry.max": "1s" },
        "shared_files.cleanup": { frequency: "200ms" },
        general: { node_id: "R1" }
      }
    }),
    R2: await startAs(user, { upstream, nodes: R2, config: { ...storage, general: { node_id: "R2" } } })
  }
}

/** Every file below a folder, with what it is. */
const filesIn = (top: string) =>
  Object.fromEntries(
    readdirSync(top, { recursive: true, withFileTypes: true }).map((entry) => {
      const path = join(entry.parentPath, entry.name)
      const { ino, mtimeMs, mode, uid, gid } = statSync(path)
      return [relative(top, path), { ino, mtimeMs, mode, uid, gid }]
    })
  )

describe.each<Layout>(["rudder", "tree"])("in layout %s", (layout) => {
  let relays: Awaited<ReturnType<typeof startRelays>>
  let settings: Record<string, string>
  const storage = (relay: Relay) => join(relay.directory, "shared-files")
  const own = (relay: Relay, target: string, source: string, fileId: string) =>
    join(storage(relay), target, ...(layout === "rudder" ? ["files"] : []), source, fileId)
  const heldForR2 = (target: string, source: string, fileId: string) => {
    const top = layout === "rudder" ? "R2/shared-files" : "R2"
    return join(
      storage(relays.root),
      top,
      relative(storage(relays.R2), own(relays.R2, target, source, fileId))
    )
  }
  const files = (name: string) => ({
    file: join(folder, `${layout}-${name}.file`),
    copy: join(folder, `${layout}-${name}.copy`)
  })
  const share = (fileId: string, file: string, ttl?: string) => use(hosts.a, [toNode("B", fileId, file, ttl)])
  const get = (fileId: string, copy: string) => use(hosts.b, [fromNode("A", fileId, copy)])
  const bringDown = (...args: ReadonlyArray<string>) => use(hosts.R2, [synchronise], { args })
  const shares = (fileId: string, outcome: "kept" | "repaired" | "error") =>
    classesOf(`sharedfile_to_node_${fileId}`, outcome)
  const gets = (fileId: string, outcome: "kept" | "repaired" | "error") =>
    classesOf(`sharedfile_from_node_${fileId}`, outcome)
  const broughtDown = (outcome: "kept" | "repaired" | "error" | "noop") =>
    classesOf("sharedfile_synchronise_R2", outcome)

  beforeAll(async () => {
    relays = await startRelays(layout)
    const fromRoot = await serve(hosts.root, {
      folders: { [join(storage(relays.root), "R2")]: [hosts.R2.digest] }
    })
    const fromR2 = await serve(hosts.R2, { folders: { [join(storage(relays.R2), "B")]: [hosts.b.digest] } })
    settings = {
      node_id: "R2",
      server: "127.0.0.1",
      port: String(fromRoot),
      layout,
      path: storage(relays.root),
      own_path: storage(relays.R2),
      daemon_user: user.name,
      daemon_group: user.name
    }
    install(hosts.R2, settings)
    install(hosts.b, {
      node_id: "B",
      server: "127.0.0.1",
      port: String(fromR2),
      layout,
      path: storage(relays.R2)
    })
    const toR1 = { relay_url: secureUrl(relays.R1), certificate: identities.R1.certificate }
    install(hosts.a, { node_id: "A", ...toR1 })
    install(hosts.d, { node_id: "D", ...toR1 })
  })
  afterAll(async () => {
    await endServers()
    endLines()
    await cleanUp()
  })

  it("a file goes up from A, down to the other relay, and to B; and again when it changes", async () => {
    const { file, copy } = files("travels")
    expect(await bringDown()).toMatchObject({ classes: broughtDown("kept"), reports: [] })
    for (const content of ["first\n", "second\n"]) {
      writeFileSync(file, content)
      expect(await share("id_1", file)).toMatchObject({ classes: shares("id_1", "repaired"), reports: [] })
      expect(readFileSync(heldForR2("B", "A", "id_1"), "utf8")).toBe(content)
      // It is not there yet.
      if (content === "first\n") expect((await get("id_1", copy)).classes).toEqual(gets("id_1", "error"))
      else expect((await get("id_1", copy)).classes).toEqual(gets("id_1", "kept"))
      expect(await bringDown()).toMatchObject({ classes: broughtDown("repaired"), reports: [] })
      expect(readFileSync(own(relays.R2, "B", "A", "id_1"), "utf8")).toBe(content)
      expect(fieldsOf(own(relays.R2, "B", "A", "id_1"))).toEqual(fieldsOf(heldForR2("B", "A", "id_1")))
      expect(await get("id_1", copy)).toMatchObject({ classes: gets("id_1", "repaired"), reports: [] })
      expect(readFileSync(copy, "utf8")).toBe(content)
      const before = filesIn(storage(relays.R2))
      expect(await share("id_1", file)).toMatchObject({ classes: shares("id_1", "kept"), reports: [] })
      expect(await bringDown()).toMatchObject({ classes: broughtDown("kept"), reports: [] })
      expect(await get("id_1", copy)).toMatchObject({ classes: gets("id_1", "kept"), reports: [] })
      expect(filesIn(storage(relays.R2))).toEqual(before)
    }
    expect(existsSync(join(storage(relays.R1), "B"))).toBe(false)
  })

  it("what comes down is the daemon's, with its modes; and the daemon vouches for it", async () => {
    const { file } = files("modes")
    writeFileSync(file, "modes\n")
    await use(hosts.a, [toNode("B", "id_2", file, "1d"), toNode("E", "id_2", file)])
    // As the documentation does it.
    expect(await reportsOf(hosts.R2, documentedBlocks("cfengine")[2] ?? "")).toEqual([])
    const there = { ...filesIn(join(storage(relays.R2), "B")), ...filesIn(join(storage(relays.R2), "R3")) }
    expect(Object.keys(there)).toContain(
      relative(join(storage(relays.R2), "B"), own(relays.R2, "B", "A", "id_2.metadata"))
    )
    for (const { mode, uid, gid } of Object.values(there)) {
      expect([0o40750, 0o100640]).toContain(mode)
      expect({ uid, gid }).toEqual({ uid: user.uid, gid: user.gid })
    }
    // What is for a node below yet another relay is where that one looks for it.
    const forE = layout === "rudder" ? "R3/shared-files/E/files/A/id_2" : "R3/E/A/id_2"
    expect(readFileSync(join(storage(relays.R2), forE), "utf8")).toBe("modes\n")
    const { hash_value } = fieldsOf(own(relays.R2, "B", "A", "id_2"))
    const { status } = await curl(
      "-I",
      `${relays.R2.url}/shared-files/node/B/id_2?source-uuid=A&hash=${hash_value}`
    )
    expect(status).toBe(200)
  })

  it("what the other relay has of its own nodes stays; what expires goes everywhere, by the daemons", async () => {
    const { file, copy } = files("purge")
    writeFileSync(file, "from C\n")
    install(hosts.c, { node_id: "C", relay_url: relays.R2.url })
    await use(hosts.c, [toNode("B", "id_3", file)])
    const ofC = own(relays.R2, "B", "C", "id_3")
    mkdirSync(join(storage(relays.R2), "~tmp"), { recursive: true })
    writeFileSync(join(storage(relays.R2), "~tmp/under-way"), "")
    writeFileSync(file, "from A, for a while\n")
    const ofA = own(relays.R2, "B", "A", "id_3")
    // On a slow machine it may have passed before it is asked for.
    for (let seconds = 3; !existsSync(ofA); seconds *= 2) {
      await share("id_3", file, `${seconds}s`)
      await until("root has it", () => existsSync(dirname(heldForR2("B", "A", "id_3"))))
      // As CFEngine names a file that it is still copying.
      writeFileSync(`${heldForR2("B", "A", "id_3")}.cfnew`, "half")
      await bringDown()
    }
    expect([ofC, `${ofC}.metadata`, `${ofA}.cfnew`].map((path) => existsSync(path))).toEqual([
      true,
      true,
      false
    ])
    expect(existsSync(join(storage(relays.R2), "~tmp/under-way"))).toBe(true)
    rmSync(join(storage(relays.R2), "~tmp/under-way"))
    for (const path of [ofA, heldForR2("B", "A", "id_3")])
      await until("it has expired", () => !existsSync(path) && !existsSync(`${path}.metadata`))
    expect((await get("id_3", copy)).classes).toEqual(gets("id_3", "error"))
    expect((await bringDown()).classes).toEqual(broughtDown("kept"))
    expect(existsSync(ofA)).toBe(false)
    expect(readFileSync(ofC, "utf8")).toBe("from C\n")
  })

  it("a file that A shares while root is away is repaired, then kept, and B gets it when root is back", async () => {
    const { file, copy } = files("outage")
    writeFileSync(file, "of an outage\n")
    relays.line.setDown(true)
    expect(await share("id_6", file)).toMatchObject({ classes: shares("id_6", "repaired"), reports: [] })
    expect(await share("id_6", file)).toMatchObject({ classes: shares("id_6", "kept"), reports: [] })
    expect(existsSync(heldForR2("B", "A", "id_6"))).toBe(false)
    relays.line.setDown(false)
    await until("root has it", async () => existsSync(heldForR2("B", "A", "id_6")) || undefined)
    expect((await bringDown()).classes).toEqual(broughtDown("repaired"))
    expect(await get("id_6", copy)).toMatchObject({ classes: gets("id_6", "repaired"), reports: [] })
    expect(readFileSync(copy, "utf8")).toBe("of an outage\n")
    expect(await share("id_6", file)).toMatchObject({ classes: shares("id_6", "kept"), reports: [] })
  })

  it("a file that root refuses is an error for its source, which hears why, each time", async () => {
    const { file } = files("refused")
    writeFileSync(file, "of D, says R1\n")
    for (const reason of [/the relay answered 403 .*UpstreamRejected.*/, /the relay answered 403/]) {
      const { classes, reports } = await use(hosts.d, [toNode("B", "id_4", file)])
      expect(classes).toEqual(shares("id_4", "error"))
      expect(reports).toEqual([expect.stringMatching(reason)])
    }
    expect(existsSync(dirname(heldForR2("B", "D", "id_4")))).toBe(false)
  })

  it("a policy server that does not answer is an error; in dry-run mode nothing is looked at", async () => {
    const { file } = files("dry")
    writeFileSync(file, "not to be copied\n")
    await share("id_5", file)
    const before = filesIn(storage(relays.R2))
    expect(await bringDown("--dry-run")).toMatchObject({ classes: broughtDown("noop"), reports: [] })
    // Not even the folders.
    const fresh = join(folder, `${layout}-fresh`)
    settle(hosts.R2, { ...settings, own_path: fresh })
    expect((await bringDown("--dry-run")).classes).toEqual(broughtDown("noop"))
    expect(existsSync(fresh)).toBe(false)
    const down = await freePort()
    settle(hosts.R2, { ...settings, port: String(down) })
    expect(await bringDown()).toMatchObject({
      classes: broughtDown("error"),
      reports: [
        `sharedfile_synchronise: shared files are not up to date: 127.0.0.1 does not answer on port ${down}`
      ]
    })
    expect(filesIn(storage(relays.R2))).toEqual(before)
    settle(hosts.R2, settings)
    expect((await bringDown()).classes).toEqual(broughtDown("repaired"))
  })
})
