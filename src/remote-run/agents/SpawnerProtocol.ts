/**
 * What is said between the relay and the process that starts agents for it, `starter.pl` or `spawner.mjs`.
 *
 * The relay says, each with its length before it (u32, big-endian), as fields with a NUL between them:
 * - `setup`, the path of node, the grace between SIGTERM and SIGKILL in milliseconds, the text of `guard.mjs`, and each
 *   variable of the environment that agents share, as `NAME=value`: once, and first;
 * - `start`, an id, the cookie, the mark or nothing, the paths of the FIFOs for stdout and stderr, the program, and its
 *   parameters;
 * - `guard`, a process id and a cookie: an agent that another process has started; `release`, a process id: no more;
 * - `ping`, an id.
 *
 * It answers in lines:
 * - `P <id>`: it is there, by a ping's id; by the id 0, it is set up;
 * - `S <id> <pid>`: started; then `E <id> <code>`: exited, or `K <id> <number of a signal>`: killed by it;
 * - `F <id> <errno> <what failed>`: not started, or, behind `S`, started without becoming its program.
 */
import { constants } from "node:os"
import { getSystemErrorName } from "node:util"
import type { AgentExit } from "./AgentProcess.ts"
import { SpawnFailure } from "./SpawnFailure.ts"

/** A program to be started. */
export interface SpawnRequest {
  readonly program: string
  readonly parameters: ReadonlyArray<string>
  /** The value, in the environment, by which the agent's processes are known. */
  readonly cookie: string
  /** The core dump filter that it is started with: see `Marks`. */
  readonly mark: number | undefined
  /** Paths of FIFOs whose other ends are open. */
  readonly stdout: string
  readonly stderr: string
}

/** What the process answers. `Here` is about no agent. */
export type Answer =
  | { readonly _tag: "Here"; readonly id: number }
  | { readonly _tag: "Started"; readonly id: number; readonly pid: number }
  | { readonly _tag: "Ended"; readonly id: number; readonly exit: AgentExit }
  | { readonly _tag: "Failed"; readonly id: number; readonly failure: SpawnFailure }

const encode = (fields: ReadonlyArray<string>): Buffer => {
  const text = fields.join("\0")
  const length = Buffer.byteLength(text)
  const message = Buffer.allocUnsafe(4 + length)
  message.writeUInt32BE(length, 0)
  message.write(text, 4)
  return message
}

export interface Setup {
  readonly node: string
  readonly killGraceMillis: number
  readonly guard: string
  readonly environment: Readonly<Record<string, string>>
}

export const setup = ({ node, killGraceMillis, guard, environment }: Setup): Buffer => {
  const variables = Object.entries(environment).map(([name, value]) => `${name}=${value}`)
  return encode(["setup", node, `${killGraceMillis}`, guard, ...variables])
}

export const start = (
  id: number,
  { cookie, mark, stdout, stderr, program, parameters }: SpawnRequest
): Buffer => encode(["start", `${id}`, cookie, `${mark ?? ""}`, stdout, stderr, program, ...parameters])

export const guard = (pid: number, cookie: string): Buffer => encode(["guard", `${pid}`, cookie])
export const release = (pid: number): Buffer => encode(["release", `${pid}`])
export const ping = (id: number): Buffer => encode(["ping", `${id}`])

/** No command line can have a NUL in it. */
export const isSayable = ({ program, parameters }: SpawnRequest): boolean =>
  !program.includes("\0") && !parameters.some((parameter) => parameter.includes("\0"))

/** Where a number has two names, such as SIGABRT and SIGIOT, it is the first that is used. */
const signalNames: ReadonlyMap<number, string> = new Map(
  Object.entries(constants.signals)
    .reverse()
    .map(([name, number]) => [number, name])
)

/** In the words of node's own errors. */
const failureOf = (errno: number, syscall: string): SpawnFailure => {
  const code = errno > 0 ? getSystemErrorName(-errno) : undefined
  return new SpawnFailure({ code, syscall, message: code === undefined ? syscall : `${syscall} ${code}` })
}

const answerIn = (line: string): Answer | undefined => {
  const [kind, first = "", second = "", ...rest] = line.split(" ")
  const id = Number(first)
  const value = Number(second)
  switch (kind) {
    case "P":
      return { _tag: "Here", id }
    case "S":
      return { _tag: "Started", id, pid: value }
    case "E":
      return { _tag: "Ended", id, exit: { code: value, signal: null } }
    case "K":
      return { _tag: "Ended", id, exit: { code: null, signal: signalNames.get(value) ?? `SIG${second}` } }
    case "F":
      return { _tag: "Failed", id, failure: failureOf(value, rest.join(" ")) }
    default:
      return undefined
  }
}

/** The answers in what comes piece by piece. */
export class Answers {
  private rest = ""

  /** Those that are whole with this text. */
  push(text: string): ReadonlyArray<Answer> {
    const lines = (this.rest + text).split("\n")
    this.rest = lines.pop() ?? ""
    return lines.map(answerIn).filter((answer) => answer !== undefined)
  }
}
