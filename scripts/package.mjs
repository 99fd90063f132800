// node scripts/package.mjs [--output DIR] [--version VERSION]: the Debian package, rudder-relay-api_VERSION_all.deb. It is made
// of the built program, of docs/ and of scripts/debian/, by dpkg-deb; the same sources make the same bytes.
//
// Its name is not that of the program: rudder-relay is the package that Rudder's own relay daemon comes with, and dpkg would take
// the one for another version of the other.
import { execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join, relative, resolve } from "node:path"
import { parseArgs } from "node:util"
import { gzipSync } from "node:zlib"
import { build, install, run, top } from "./setup.mjs"

const name = "rudder-relay-api"
const manifest = JSON.parse(readFileSync(join(top, "package.json"), "utf8"))
const { values } = parseArgs({
  options: {
    output: { type: "string", default: "." },
    version: { type: "string", default: manifest.version }
  }
})

install()
build()

const dist = join(top, "dist")
const sources = join(top, "scripts/debian")
const root = mkdtempSync(join(tmpdir(), "rudder-relay-package-"))
process.on("exit", () => rmSync(root, { recursive: true, force: true }))

/** When the sources were last changed: no file of the package is newer, and its own date is this. Seconds. */
const epoch = () => {
  if (process.env.SOURCE_DATE_EPOCH) return process.env.SOURCE_DATE_EPOCH
  try {
    const options = { cwd: top, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }
    return execFileSync("git", ["log", "-1", "--format=%ct"], options).trim()
  } catch {
    return String(Math.floor(statSync(join(top, "package.json")).mtimeMs / 1000))
  }
}
const date = epoch()

/** Who makes the package, as Debian's own tools ask for it. */
const { DEBFULLNAME = "rudder-relay", DEBEMAIL = "rudder-relay@packages.invalid" } = process.env
const maintainer = `${DEBFULLNAME} <${DEBEMAIL}>`

const place = (path, mode, content) => {
  const file = join(root, path)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, content)
  chmodSync(file, mode)
}

const source = (file) => readFileSync(join(sources, file), "utf8")

/**
 * Files of the program, without those that only the library and its test kit load. What V8 has made of it (`*.code`) is for one
 * version of node on one kind of machine: an installation makes its own.
 */
const programFiles = () => {
  const files = readdirSync(dist).filter(
    (file) => statSync(join(dist, file)).isFile() && !file.startsWith(".") && !file.endsWith(".code")
  )
  const loadedBy = (entries) => {
    const found = new Set()
    const visit = (file) => {
      if (found.has(file) || !files.includes(file)) return
      found.add(file)
      if (!/\.c?js$/.test(file)) return
      const text = readFileSync(join(dist, file), "utf8")
      for (const other of files)
        if (text.includes(`./${other}"`) || text.includes(`./${other}'`)) visit(other)
    }
    for (const entry of entries) visit(entry)
    return found
  }
  const ofLibrary = loadedBy(["index.js", "testing.js", "memfs.js"])
  const others = files.filter((file) => /\.c?js$/.test(file) && !ofLibrary.has(file))
  const wanted = loadedBy(others)
  // Descriptions and whatever else stands beside the program goes along; a source map goes with its file.
  return files.filter((file) => {
    const code = file.replace(/\.map$/, "")
    return file !== "rudder-relay.1" && (wanted.has(code) || !ofLibrary.has(code))
  })
}

const program = (...args) =>
  execFileSync(process.execPath, [join(dist, "main.cjs"), ...args], { encoding: "utf8" })

const placeProgram = () => {
  for (const file of programFiles())
    place(
      `usr/lib/rudder-relay/dist/${file}`,
      file === "main.cjs" ? 0o755 : 0o644,
      readFileSync(join(dist, file))
    )
  // By this node knows that the files are ES modules.
  const { license, type } = manifest
  place(
    "usr/lib/rudder-relay/package.json",
    0o644,
    `${JSON.stringify({ name: manifest.name, version: values.version, license, type, private: true })}\n`
  )
  for (const file of readdirSync(join(top, "src/ncf")))
    place(
      `usr/lib/rudder-relay/ncf/${file}`,
      file.endsWith(".sh") ? 0o755 : 0o644,
      readFileSync(join(top, "src/ncf", file))
    )
  place("usr/lib/rudder-relay/check", 0o755, source("check"))
  mkdirSync(join(root, "usr/bin"))
  symlinkSync("../lib/rudder-relay/dist/main.cjs", join(root, "usr/bin/rudder-relay"))
  place("usr/share/bash-completion/completions/rudder-relay", 0o644, program("--completions", "bash"))
  place("usr/share/zsh/vendor-completions/_rudder-relay", 0o644, program("--completions", "zsh"))
  place("usr/share/fish/vendor_completions.d/rudder-relay.fish", 0o644, program("--completions", "fish"))
}

const placeManual = () => {
  const page = readFileSync(join(dist, "rudder-relay.1"))
  place("usr/share/man/man1/rudder-relay.1.gz", 0o644, gzipSync(page, { level: 9 }))
}

const placeSystem = () => {
  place("usr/lib/systemd/system/rudder-relay.service", 0o644, source("rudder-relay.service"))
  place(`usr/lib/sysusers.d/${name}.conf`, 0o644, source("sysusers.conf"))
  place(`usr/lib/tmpfiles.d/${name}.conf`, 0o644, source("tmpfiles.conf"))
  place("etc/default/rudder-relay", 0o644, source("default"))
  place(`etc/sudoers.d/${name}`, 0o440, source("sudoers"))
  place(`etc/apache2/conf-available/${name}.conf`, 0o644, source("apache.conf"))
  place(`usr/share/lintian/overrides/${name}`, 0o644, source("lintian-overrides"))
}

const changelog = () => {
  const when = new Date(Number(date) * 1000).toUTCString().replace("GMT", "+0000")
  return `${name} (${values.version}) unstable; urgency=medium\n\n  * See CHANGELOG.md.\n\n -- ${maintainer}  ${when}\n`
}

const placeDocumentation = () => {
  const folder = `usr/share/doc/${name}`
  place(`${folder}/copyright`, 0o644, source("copyright"))
  place(`${folder}/changelog.gz`, 0o644, gzipSync(changelog(), { level: 9 }))
  for (const file of ["README.md", "CHANGELOG.md"])
    place(`${folder}/${file}`, 0o644, readFileSync(join(top, file)))
  for (const file of readdirSync(join(top, "docs"), { recursive: true }))
    if (statSync(join(top, "docs", file)).isFile())
      place(`${folder}/${file}`, 0o644, readFileSync(join(top, "docs", file)))
}

const filesBelow = (folder) =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .filter((file) => !lstatSync(file).isDirectory())
    .map((file) => relative(root, file))
    .sort()

const placeControl = () => {
  const files = filesBelow(root)
  const bytes = files.reduce((sum, file) => sum + lstatSync(join(root, file)).size, 0)
  const sums = files
    .filter((file) => lstatSync(join(root, file)).isFile())
    .map(
      (file) =>
        `${createHash("md5")
          .update(readFileSync(join(root, file)))
          .digest("hex")}  ${file}\n`
    )
  place("DEBIAN/md5sums", 0o644, sums.join(""))
  place(
    "DEBIAN/conffiles",
    0o644,
    files
      .filter((file) => file.startsWith("etc/"))
      .map((file) => `/${file}\n`)
      .join("")
  )
  place("DEBIAN/control", 0o644, control(Math.ceil(bytes / 1024)))
  for (const script of ["postinst", "prerm", "postrm"]) place(`DEBIAN/${script}`, 0o755, source(script))
}

/** @param size KiB */
const control = (size) => `Package: ${name}
Version: ${values.version}
Section: admin
Priority: optional
Architecture: all
Maintainer: ${maintainer}
Installed-Size: ${size}
Depends: nodejs (>= 20.18), adduser
Recommends: sudo, systemd
Suggests: apache2, curl
Description: relay API of a Rudder fleet: remote runs and shared files
 A relay of Rudder's configuration management, beside or in place of the relay
 API of Rudder's own relay daemon. It runs the agents of thousands of nodes at
 once and streams back what they print, and it brings signed files from one node
 to another, verified, stored, or forwarded until they got there. It reads the
 main.conf of an existing installation. Reports and inventories are left to
 Rudder's own daemon.
`

placeProgram()
placeManual()
placeSystem()
placeDocumentation()
placeControl()
for (const entry of readdirSync(root, { recursive: true, withFileTypes: true }))
  if (entry.isDirectory()) chmodSync(join(entry.parentPath ?? entry.path, entry.name), 0o755)
chmodSync(root, 0o755)

const package_ = join(resolve(values.output), `${name}_${values.version}_all.deb`)
mkdirSync(dirname(package_), { recursive: true })
run("dpkg-deb", ["--root-owner-group", "-Zxz", "--build", root, package_], {
  stdio: ["ignore", "ignore", "inherit"],
  env: { ...process.env, SOURCE_DATE_EPOCH: date }
})
console.log(package_)
