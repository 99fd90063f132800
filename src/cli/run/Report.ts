/** What is said of a run's nodes when it is over: group by group, those that failed last. */
import { Effect, Stream } from "effect"
import type { CallFailure } from "../../client/ClientError.ts"
import type { RelayClientService } from "../../client/RelayClient.ts"
import * as Printable from "../../Printable.ts"
import * as Screen from "../Screen.ts"
import type { StartError } from "../StartError.ts"
import type { NodeGroup } from "./NodeGroups.ts"
import type { NodeLabels } from "./NodeLabels.ts"
import * as NodeNames from "./NodeNames.ts"
import { TextLines } from "./TextLines.ts"

/** What a report is made with. */
export interface Parts {
  readonly client: RelayClientService
  /** The run's id. */
  readonly run: string
  readonly labels: NodeLabels
  readonly screen: Screen.Screen
  readonly print: (lines: string) => Effect.Effect<void, StartError>
}

type Printed = Effect.Effect<void, StartError | CallFailure>

const rule = "---------------"

/** What stands in place of an output, as a note. */
const note = (text: string) => `(${text})\n`

const namesOf = ({ labels }: Parts, { nodes }: NodeGroup) =>
  NodeNames.fold(nodes.map((node) => labels.of(node)))

const head = (parts: Parts, group: NodeGroup): string => {
  const { colours } = parts.screen
  const names = namesOf(parts, group)
  const outcome = group.verdict === "ok" ? "" : `: ${Printable.line(group.outcome)}`
  const line = `${names} (${group.nodes.length})${outcome}`
  const painted = colours && group.verdict === "failed" ? `\u001b[31m${line}\u001b[0m` : line
  return `${rule}\n${painted}\n${rule}\n`
}

const printLines = (parts: Parts, lines: ReadonlyArray<string>, before = "") =>
  parts.print(lines.map((line) => `${before}${Screen.foreignLine(line, parts.screen)}\n`).join(""))

/** The group's output, as one of its nodes printed it; nothing is held of it but a line. */
const output = (parts: Parts, { nodes: [node = ""], digest }: NodeGroup): Printed =>
  Effect.suspend(() => {
    if (digest === "") return Effect.void
    const cutter = new TextLines()
    return Stream.runForEach(parts.client.nodeOutput({ run: parts.run, node }), (bytes) =>
      printLines(parts, cutter.push(bytes))
    ).pipe(Effect.zipRight(Effect.suspend(() => printLines(parts, cutter.end()))))
  })

/** Characters of stderr that are shown, as many as an `end` has. */
const maxStderr = 64 * 1024

/** The end of the group's stderr. Where it was too much to be held, the relay has it, if it keeps the run's output. */
const stderrOf = (
  { client, run }: Parts,
  { nodes: [node = ""], stderr }: NodeGroup
): Effect.Effect<string, CallFailure> =>
  stderr !== undefined
    ? Effect.succeed(stderr)
    : client.nodeOutput({ run, node, stream: "stderr" }).pipe(
        Stream.decodeText(),
        Stream.runFold("", (end, text) => (end + text).slice(-maxStderr))
      )

const stderr = (parts: Parts, group: NodeGroup): Printed =>
  Effect.flatMap(stderrOf(parts, group), (text) =>
    text === "" ? Effect.void : printLines(parts, text.replace(/\n$/, "").split("\n"), "stderr: ")
  )

const dropped = (parts: Parts, group: NodeGroup) =>
  group.dropped === 0
    ? Effect.void
    : parts.print(note(`the relay did not keep ${group.dropped} bytes more of their output`))

/** Each group: who, how it ended, what it printed. */
export const groups = (
  parts: Parts,
  all: ReadonlyArray<NodeGroup>,
  show: (group: NodeGroup) => Printed = () => Effect.void
): Printed =>
  Effect.forEach(
    all,
    (group) =>
      parts
        .print(head(parts, group))
        .pipe(
          Effect.zipRight(show(group)),
          Effect.zipRight(dropped(parts, group)),
          Effect.zipRight(stderr(parts, group))
        ),
    { discard: true }
  )

/** What the groups printed, in full. */
export const outputs = (parts: Parts, all: ReadonlyArray<NodeGroup>): Printed =>
  groups(parts, all, (group) => output(parts, group))

/** Longer outputs are shown whole. Characters. */
const maxCompared = 1024 * 1024

/** The group's output, unless it is too long. */
const textOf = ({ client, run }: Parts, { nodes: [node = ""], digest }: NodeGroup) => {
  if (digest === "") return Effect.succeed("")
  return client.nodeOutput({ run, node }).pipe(
    Stream.decodeText(),
    Stream.scan("", (all, text) => all + text),
    Stream.takeUntil((all) => all.length > maxCompared),
    Stream.runFold("", (_, all) => all),
    Effect.map((all) => (all.length > maxCompared ? undefined : all))
  )
}

const paint = (line: string, { colours }: Screen.Screen): string => {
  const code = line.startsWith("+") ? 32 : line.startsWith("-") ? 31 : line.startsWith("@") ? 36 : undefined
  return colours && code !== undefined ? `\u001b[${code}m${line}\u001b[0m` : line
}

/** What the largest group printed, in full, and how what the others printed differs from it. */
export const differences = (parts: Parts, all: ReadonlyArray<NodeGroup>): Printed =>
  Effect.gen(function* () {
    const [first] = all
    if (first === undefined) return
    const largest = all.reduce((one, other) => (other.nodes.length > one.nodes.length ? other : one), first)
    const name = namesOf(parts, largest)
    const text = yield* textOf(parts, largest)
    // The library is loaded where it is used.
    const Difference = yield* Effect.promise(() => import("./Difference.ts"))
    const difference = (group: NodeGroup): Printed =>
      Effect.gen(function* () {
        if (group === largest || group.digest === "") return yield* output(parts, group)
        if (group.digest === largest.digest) return yield* parts.print(note(`the output of ${name}`))
        const own = yield* textOf(parts, group)
        const lines =
          text === undefined || own === undefined
            ? undefined
            : Difference.lines({ name, text }, { name: namesOf(parts, group), text: own })
        if (lines === undefined) {
          yield* parts.print(note(`too long, or too different from ${name}, to be compared`))
          return yield* output(parts, group)
        }
        const { screen } = parts
        yield* parts.print(
          lines
            .map((line) => `${paint(Screen.foreignLine(line, { ...screen, colours: false }), screen)}\n`)
            .join("")
        )
      })
    yield* groups(parts, all, difference)
  })
