/** What is found before a relay starts: one thing that is not as it has to be, or as it should be, and how it is told. */
import { Duration, Effect, Option } from "effect"
import type { ConfigProblem } from "../../config/ConfigError.ts"
import * as Printable from "../../Printable.ts"

/**
 * `configuration`: a key's value can't be right; `serve` ends with 2. `start`: something on this machine is not as it has to
 * be; `serve` ends with 3. `work`: `serve` starts, and then can't do what it is there for. `warning`: it may be meant so, or
 * pass by itself.
 */
export type Kind = "configuration" | "start" | "work" | "warning"

/** What a finding is about, for programs that read them. */
export type Subject =
  | "certificate"
  | "command"
  | "configuration"
  | "folder"
  | "listener"
  | "name"
  | "node-certificates"
  | "nodes-list"
  | "program"
  | "room"
  | "shared-folder"
  | "sudo"
  | "user"

/** One thing that is not as it has to be, or as it should be. */
export interface Finding {
  readonly kind: Kind
  readonly subject: Subject
  /** The key of main.conf, or of logging.conf, that leads to it. */
  readonly key: string | undefined
  /** The file or folder that it is about. */
  readonly file: string | undefined
  /** Where a configuration's text is wrong: its file with line and column, or a variable of the environment. */
  readonly at?: string
  /** Without the key. */
  readonly message: string
}

/** What was found; looking for it never fails. */
export type Findings<R = never> = Effect.Effect<ReadonlyArray<Finding>, never, R>

/** All is well. */
export const nothing: ReadonlyArray<Finding> = []

/** What a finding says, but for its kind. */
export interface Said {
  readonly key?: string
  readonly file?: string
  readonly message: string
}

/** One finding. */
export const finding = (kind: Kind, subject: Subject, { key, file, message }: Said): Finding => ({
  kind,
  subject,
  key,
  file,
  message
})

/** What is wrong with a configuration's text, as a finding. */
export const ofProblem = (kind: Kind, { source, key, message }: ConfigProblem): Finding => {
  const file = source.replace(/(:\d+){1,2}$/, "")
  return {
    kind,
    subject: "configuration",
    key,
    file: file.includes("/") ? file : undefined,
    at: source,
    message
  }
}

const joined = (...parts: ReadonlyArray<string | undefined>): string =>
  Printable.line(parts.filter((part) => part !== undefined).join(": "))

/** A finding as one line. What others wrote, such as a node's id, is in some of them. */
export const lineOf = ({ at, key, message }: Finding): string => joined(at, key, message)

/** A finding for programs: what it does not have is null. */
export const jsonOf = ({ at, file, key, message, subject }: Finding) => ({
  subject,
  key: key ?? null,
  file: file ?? null,
  message: joined(at === file ? undefined : at, message)
})

/** Looks no longer than this; what could not be told by then is a warning. */
export const within = <R>(seconds: number, about: Subject, said: Said, found: Findings<R>): Findings<R> =>
  found.pipe(
    // What the system does not answer can't be interrupted.
    Effect.disconnect,
    Effect.timeoutOption(Duration.seconds(seconds)),
    Effect.map(
      Option.getOrElse(() => [
        finding("warning", about, {
          ...said,
          message: `${said.message} could not be told in ${seconds} s`
        })
      ])
    )
  )

/** What several look for, at once. */
export const together = <R>(all: ReadonlyArray<Findings<R>>): Findings<R> =>
  Effect.map(Effect.all(all, { concurrency: "unbounded" }), (found) => found.flat())
