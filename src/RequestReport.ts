/**
 * What the log is to say of a request once it has been answered. Whoever finds out a part of it adds that part; the one
 * line is written where the request ends.
 */
import { Context, Effect } from "effect"

/** What is known of a request so far. */
export interface RequestReport {
  readonly method: string
  /** Its route, as the API has it: bounded, unlike paths. */
  readonly route: string
  /** What it was about and what came of it, by the names of the log's fields. */
  readonly about: () => Readonly<Record<string, unknown>>
  /** What the line says instead of its usual words. */
  readonly message: () => string | undefined
  /** Whether the log has its line already, or is to have none. */
  readonly isTold: () => boolean
  readonly add: (fields: Readonly<Record<string, unknown>>, message?: string) => void
  readonly told: () => void
}

/** Characters of a text that somebody else wrote. */
const longestText = 300

/** A text that somebody else wrote, as the log has it: its first 300 characters. */
export const cut = (text: string): string =>
  text.length > longestText ? `${text.slice(0, longestText)}…` : text

const cutValue = (value: unknown): unknown => (typeof value === "string" ? cut(value) : value)

const nothing: Readonly<Record<string, unknown>> = {}

/** Every request has one, and most have no line: nothing is made before somebody adds to it. */
class Report implements RequestReport {
  readonly method: string
  readonly route: string
  private readonly asked: () => Readonly<Record<string, unknown>>
  private added: Record<string, unknown> | undefined = undefined
  private words: string | undefined = undefined
  private hasLine = false

  constructor(method: string, route: string, asked: () => Readonly<Record<string, unknown>>) {
    this.method = method
    this.route = route
    this.asked = asked
  }

  about(): Readonly<Record<string, unknown>> {
    const said: Record<string, unknown> = {}
    const asked = this.asked()
    for (const name of Object.keys(asked)) said[name] = cutValue(asked[name])
    return Object.assign(said, this.added)
  }

  message(): string | undefined {
    return this.words
  }

  isTold(): boolean {
    return this.hasLine
  }

  add(fields: Readonly<Record<string, unknown>>, message?: string): void {
    this.added ??= {}
    for (const name of Object.keys(fields)) {
      const value = fields[name]
      if (value !== undefined) this.added[name] = cutValue(value)
    }
    this.words = message ?? this.words
  }

  told(): void {
    this.hasLine = true
  }
}

/**
 * One of a request that begins.
 *
 * @param asked what its path says that it is about; asked for where there is a line
 */
export const make = (
  method: string,
  route: string,
  asked: () => Readonly<Record<string, unknown>> = () => nothing
): RequestReport => new Report(method, route, asked)

/** Outside of a request nothing is reported. */
const none: RequestReport = {
  method: "",
  route: "",
  about: () => nothing,
  message: () => undefined,
  isTold: () => true,
  add: () => {},
  told: () => {}
}

/** The report of the request that is being answered; `isInRequest` says whether there is one. */
export class CurrentReport extends Context.Reference<CurrentReport>()("rudder-relay/RequestReport", {
  defaultValue: () => none
}) {}

/** The same, of the context that something is done in. */
export const of = (context: Context.Context<never>): RequestReport => Context.get(context, CurrentReport)

/** Whether a report is of a request. */
export const isInRequest = (report: RequestReport): boolean => report !== none

/** What goes on after the request that began it has no line of that request's to stand in: it has lines of its own. */
export const outside = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.provideService(effect, CurrentReport, none)

/** Adds to the report of the request that is being answered. */
export const add = (fields: Readonly<Record<string, unknown>>, message?: string): Effect.Effect<void> =>
  Effect.map(CurrentReport, (report) => report.add(fields, message))

/** Ids, of which the log has the first few. */
const mostIds = 10

/** Ids and their number, as fields of the log: `nodes="a b"` and `node_count=2`. */
export const ids = (
  names: { readonly all: string; readonly count: string },
  values: ReadonlyArray<string>
): Readonly<Record<string, unknown>> => ({
  [names.all]: values.slice(0, mostIds).join(" "),
  [names.count]: values.length
})
