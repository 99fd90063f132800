/**
 * The store against a map: what was sent under each name, what of it was acknowledged, and so what may be there.
 */
import { Option } from "effect"
import type * as Metadata from "../../src/shared-files/file/Metadata.ts"

/** Something that was sent. */
export interface Version {
  readonly content: string
  /** By the beginning of their requests. */
  readonly order: number
  readonly metadata: Metadata.Metadata
}

export const isExpired = ({ metadata }: Version, now: number): boolean =>
  Option.exists(metadata.expires, (time) => time * 1000 <= now)

const dateOf = ({ metadata }: Version): string => Option.getOrElse(metadata.date, () => "")

/** One name. */
export class FileModel {
  readonly sent: Array<Version> = []
  /** Acknowledged, or seen; what is there if nothing of the following happened. */
  private stored: Version | undefined
  /** Not acknowledged, and not surely undone. */
  private uncertain: ReadonlyArray<Version> = []

  get candidates(): ReadonlyArray<Version> {
    return this.stored === undefined ? this.uncertain : [this.stored, ...this.uncertain]
  }

  acknowledged(version: Version): void {
    if (this.stored === undefined || this.stored.order < version.order) this.stored = version
    this.uncertain = this.uncertain.filter(({ order }) => order > version.order)
  }

  unacknowledged(version: Version): void {
    if (this.stored === undefined || this.stored.order < version.order)
      this.uncertain = [...this.uncertain, version]
  }

  /** Why this can't be what is there now (milliseconds since 1970); undefined: it may be. */
  contradiction(found: Version | undefined, now: number): string | undefined {
    const { stored } = this
    if (found === undefined)
      return stored === undefined || this.candidates.some((version) => isExpired(version, now))
        ? undefined
        : `${stored.content} was acknowledged and is gone`
    if (!this.candidates.includes(found))
      return `${found.content} is there instead of ${stored?.content ?? "nothing"}`
    const hadScope = stored !== undefined && Option.isSome(stored.metadata.scope) && !isExpired(stored, now)
    if (hadScope && (Option.isNone(found.metadata.scope) || dateOf(found) < dateOf(stored)))
      return `${found.content} is there instead of ${stored.content}, against its scope`
    return undefined
  }

  /** It has been seen: from now on nothing but this, or what comes. What had expired comes back if its removal is lost. */
  seen(found: Version | undefined, now: number): void {
    this.stored = found ?? this.candidates.findLast((version) => isExpired(version, now))
    this.uncertain = []
  }

  /** Whether a refusal for its scope can be right. */
  mayRefuse(others: ReadonlyArray<Version>): boolean {
    return [...this.candidates, ...others].some(({ metadata }) => Option.isSome(metadata.scope))
  }
}
