/**
 * What would keep a relay with these settings from its work, found before it starts: by `serve`, which does not start then,
 * and by `check`. Nothing is made or changed: a folder made by whoever checks would be theirs.
 */
import { constants } from "node:fs"
import * as fs from "node:fs/promises"
import { userInfo } from "node:os"
import { dirname, join } from "node:path"
import { createSecureContext } from "node:tls"
import type { FileSystem, Path } from "@effect/platform"
import { Data, Effect, Option } from "effect"
import { type ConfigError, type ConfigProblem, lineOf } from "../config/ConfigError.ts"
import { type LoadedSettings, load } from "../config/RelayConfig.ts"
import type { Settings } from "../config/Settings.ts"
import { root } from "../NodeId.ts"
import { exitCode, StartError } from "./StartError.ts"

/** One thing that is not as it has to be, or as it should be. */
export interface Finding {
  /** `configuration`: a key's value can't be right. `start`: something on this machine is not as it has to be. */
  readonly kind: "configuration" | "start" | "warning"
  readonly message: string
}

type Findings = Effect.Effect<ReadonlyArray<Finding>>

const nothing: ReadonlyArray<Finding> = []
const finding = (kind: Finding["kind"], message: string): ReadonlyArray<Finding> => [{ kind, message }]

/** An operation of the system's that failed: its code, such as ENOENT. */
class SystemFailure extends Data.TaggedError("SystemFailure")<{
  readonly code: string
  readonly message: string
}> {}

const system = <A>(operation: () => Promise<A>): Effect.Effect<A, SystemFailure> =>
  Effect.tryPromise({
    try: operation,
    catch: (cause) =>
      new SystemFailure({
        code: cause instanceof Error && "code" in cause ? String(cause.code) : "",
        message: cause instanceof Error ? cause.message : String(cause)
      })
  })

const { R_OK, W_OK, X_OK } = constants

/** Who this program is, as an administrator knows them. */
const user = Effect.try(() => userInfo().username).pipe(
  Effect.orElseSucceed(() => `uid ${process.geteuid?.() ?? "unknown"}`)
)

/** The nearest folder, or whatever stands in its place, that is there; fails where that can't be told. */
const nearestThere = (path: string): Effect.Effect<string, SystemFailure> =>
  system(() => fs.stat(path)).pipe(
    Effect.as(path),
    Effect.catchIf(
      ({ code }) => (code === "ENOENT" || code === "ENOTDIR") && path !== dirname(path),
      (error) =>
        Effect.matchEffect(
          system(() => fs.lstat(path)),
          {
            // A link that leads nowhere: no folder can be made in its place.
            onSuccess: () => Effect.fail(error),
            onFailure: () => nearestThere(dirname(path))
          }
        )
    )
  )

/** The file systems of the kernel's own, `proc` and `sysfs`, where nothing can be made whatever the modes say. */
const kernelsOwn = [0x9fa0, 0x62656572]

/** A folder of the relay's that can't be made or written by this user. */
const folder = (key: string, path: string): Findings =>
  Effect.gen(function* () {
    const there = yield* nearestThere(path)
    if (!(yield* system(() => fs.stat(there))).isDirectory()) return `${there} is not a folder`
    yield* system(() => fs.access(there, there === path ? R_OK | W_OK | X_OK : W_OK | X_OK))
    const { type } = yield* system(() => fs.statfs(there))
    return kernelsOwn.includes(type) ? `${there} is the kernel's own` : undefined
  }).pipe(
    Effect.catchAll((error) => Effect.succeed(error.message)),
    Effect.flatMap((reason) =>
      reason === undefined
        ? Effect.succeed(nothing)
        : Effect.map(user, (name) =>
            finding("start", `${key}: ${path} can't be made or written by ${name}: ${reason}`)
          )
    )
  )

const folders = ({ general, remoteRun, sharedFiles }: Settings): Findings =>
  Effect.map(
    Effect.all([
      remoteRun.enabled ? folder("remote_run.directory", remoteRun.directory) : Effect.succeed(nothing),
      folder("shared_files.path", sharedFiles.path),
      // The root server forwards nothing, and has no outbox.
      general.nodeId === root ? Effect.succeed(nothing) : folder("shared_files.outbox", sharedFiles.outbox)
    ]),
    (found) => found.flat()
  )

/** Why a file can't be run; undefined where it can. By sudo it is run as root, for whom any x counts. */
const notRunnable = (path: string, bySudo: boolean): Effect.Effect<string | undefined, SystemFailure> =>
  Effect.gen(function* () {
    const status = yield* system(() => fs.stat(path))
    if (status.isDirectory()) return "is a folder"
    if (!status.isFile()) return "is not a file"
    if (bySudo) return (status.mode & 0o111) === 0 ? "is not executable" : undefined
    return yield* system(() => fs.access(path, X_OK)).pipe(
      Effect.as(undefined),
      Effect.orElseSucceed(() => "is not executable")
    )
  })

/** Where sudo looks besides, unless it is told otherwise. */
const sudoPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

const isInPath = (name: string, bySudo: boolean): Effect.Effect<boolean> =>
  Effect.exists(
    `${process.env.PATH ?? ""}${bySudo ? `:${sudoPath}` : ""}`.split(":").filter((place) => place !== ""),
    (place) =>
      notRunnable(join(place, name), bySudo).pipe(
        Effect.match({ onSuccess: (reason) => reason === undefined, onFailure: () => false })
      )
  )

const key = "remote_run.command"

const commandFile = (command: string, useSudo: boolean): Findings =>
  Effect.match(notRunnable(command, useSudo), {
    onSuccess: (reason) =>
      reason === undefined ? nothing : finding("configuration", `${key}: ${command} ${reason}`),
    onFailure: ({ code, message }) =>
      code === "EACCES" && useSudo
        ? finding("warning", `${key}: only root can tell whether it can be run: ${message}`)
        : finding(
            "configuration",
            `${key}: ${command} ${code === "ENOENT" || code === "ENOTDIR" ? "is not there" : `can't be run: ${message}`}`
          )
  })

/** A command that is not there, or can't be run: every run would end with an error. */
const command = ({ remoteRun: { command, enabled, useSudo } }: Settings): Findings =>
  Effect.gen(function* () {
    if (!enabled) return nothing
    const found = command.includes("/")
      ? yield* commandFile(command, useSudo)
      : (yield* isInPath(command, useSudo))
        ? nothing
        : finding("configuration", `${key}: there is no command "${command}" in PATH`)
    const sudo =
      useSudo && !(yield* isInPath("sudo", false))
        ? finding("configuration", "remote_run.use_sudo: there is no sudo in PATH")
        : nothing
    return [...found, ...sudo]
  })

const readable = (name: string, file: string): Effect.Effect<string, ReadonlyArray<Finding>> =>
  Effect.mapError(
    system(() => fs.readFile(file, "utf8")),
    ({ message }) => finding("start", `${name}: ${file} can't be read: ${message}`)
  )

const identity = ({ tls }: Settings): Findings => {
  if (Option.isNone(tls.identity)) return Effect.succeed(nothing)
  const { certificate, key } = tls.identity.value
  return Effect.validateAll(
    [
      ["tls.certificate", certificate],
      ["tls.key", key]
    ] as const,
    ([name, file]) => readable(name, file)
  ).pipe(
    Effect.mapError((found) => found.flat()),
    Effect.flatMap(([cert = "", pem = ""]) =>
      Effect.try({
        try: () => createSecureContext({ cert, key: pem }),
        catch: (cause) =>
          finding(
            "start",
            `tls.certificate and tls.key: ${certificate} and ${key} can't be used together: ${cause instanceof Error ? cause.message : String(cause)}`
          )
      })
    ),
    Effect.match({ onSuccess: () => nothing, onFailure: (found) => found })
  )
}

/** What other relays are known by. The policy server's certificate may still come, and is looked for until then. */
const peers = ({ general, output }: Settings): Findings =>
  Effect.gen(function* () {
    const unread = (name: string, file: string) =>
      Effect.match(readable(name, file), { onSuccess: () => nothing, onFailure: (found) => found })
    if (general.peerAuthentication === "cert_validation" && Option.isSome(general.caPath))
      return yield* unread("general.ca_path", general.caPath.value)
    const { serverCertificateFile, url } = output.upstream
    const pins = general.peerAuthentication === "cert_pinning" && Option.isSome(url)
    if (!pins || url.value.protocol === "http:") return nothing
    const found = yield* unread("output.upstream.server_certificate_file", serverCertificateFile)
    return found.map(({ message }) => ({
      kind: "warning",
      message: `${message}; nothing is sent to the policy server until it is there`
    }))
  })

/** All that is found with settings that could be read. */
const look = (settings: Settings): Findings =>
  Effect.map(
    Effect.all([command(settings), folders(settings), identity(settings), peers(settings)], {
      concurrency: "unbounded"
    }),
    (found) => found.flat()
  )

/** Everything that is found with the configuration of a folder, and the settings as far as they can be read. */
export interface Examined {
  readonly findings: ReadonlyArray<Finding>
  /** None where a key is wrong. */
  readonly loaded: Option.Option<LoadedSettings>
  readonly settings: Option.Option<Settings>
}

/** Whether a finding is about none of the keys with problems: of those the settings have but the defaults. */
const notOf =
  (problems: ReadonlyArray<ConfigProblem>) =>
  ({ message }: Finding): boolean =>
    !problems.some(({ key }) => key !== undefined && message.startsWith(`${key}: `))

const examineWrong = ({ problems, settings }: ConfigError): Effect.Effect<Examined> =>
  Effect.map(settings === undefined ? Effect.succeed(nothing) : look(settings), (found) => ({
    findings: [
      ...problems.map((problem): Finding => ({ kind: "configuration", message: lineOf(problem) })),
      ...found.filter(notOf(problems))
    ],
    loaded: Option.none(),
    settings: Option.fromNullable(settings)
  }))

/** Reads the configuration of a folder and looks at all that it names. */
export const examine = (
  directory: string
): Effect.Effect<Examined, never, FileSystem.FileSystem | Path.Path> =>
  Effect.matchEffect(load(directory, process.env), {
    onFailure: examineWrong,
    onSuccess: (loaded) =>
      Effect.map(look(loaded.settings), (found) => ({
        findings: [...loaded.warnings.map((message): Finding => ({ kind: "warning", message })), ...found],
        loaded: Option.some(loaded),
        settings: Option.some(loaded.settings)
      }))
  })

/** What is worth a warning. */
export const warningsOf = (found: ReadonlyArray<Finding>): ReadonlyArray<string> =>
  found.filter(({ kind }) => kind === "warning").map(({ message }) => message)

/** All errors as one; none where there is none. */
export const errorOf = (found: ReadonlyArray<Finding>): Option.Option<StartError> => {
  const errors = found.filter(({ kind }) => kind !== "warning")
  if (errors.length === 0) return Option.none()
  const isConfiguration = errors.some(({ kind }) => kind === "configuration")
  return Option.some(
    new StartError({
      code: isConfiguration ? exitCode.configuration : exitCode.start,
      message: errors.map(({ message }) => message).join("\n")
    })
  )
}
