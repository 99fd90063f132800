/** What was sent under which name, and what of it was acknowledged: whatever happens, that or something newer is there, whole. */
import { createPublicKey, verify } from "node:crypto"
import { readFileSync } from "node:fs"
import type { Sender } from "./Senders.ts"

export interface Ledger {
  /** The next version of this name, which is on its way from now on. */
  readonly begin: (name: string) => { readonly version: number; readonly content: Buffer }
  readonly acknowledge: (name: string, version: number) => void
  /** Names of which a version was acknowledged. */
  readonly acknowledged: () => ReadonlyArray<string>
  /** What is wrong with this content and signature under this name; undefined: nothing. */
  readonly fault: (name: string, content: Buffer, digest: string) => string | undefined
  readonly counts: () => { readonly begun: number; readonly acknowledged: number }
}

const sizes = [20, 1000, 70_000, 300_000]

/** Repeats itself, so that a torn or mixed file is no version at all. */
const contentOf = (name: string, version: number): Buffer => {
  const line = `${name} version ${version}\n`
  const size = sizes[version % sizes.length] ?? 0
  return Buffer.from(line.repeat(Math.ceil(size / line.length)))
}

const versionOf = (content: Buffer): number =>
  Number(/^\S+ version (\d+)\n/.exec(content.subarray(0, 100).toString("latin1"))?.[1] ?? Number.NaN)

export const newLedger = (from: Sender): Ledger => {
  const key = createPublicKey(readFileSync(from.keyFile))
  const begun = new Map<string, number>()
  const kept = new Map<string, number>()
  let acknowledgements = 0
  return {
    begin: (name) => {
      const version = (begun.get(name) ?? 0) + 1
      begun.set(name, version)
      return { version, content: contentOf(name, version) }
    },
    acknowledge: (name, version) => {
      acknowledgements++
      kept.set(name, Math.max(version, kept.get(name) ?? 0))
    },
    acknowledged: () => [...kept.keys()],
    fault: (name, content, digest) => {
      const version = versionOf(content)
      if (!content.equals(contentOf(name, version))) return `${name}: torn, or another file's`
      if (!(version >= (kept.get(name) ?? 1)))
        return `${name}: version ${version}, and ${kept.get(name)} was acknowledged`
      if (!(version <= (begun.get(name) ?? 0))) return `${name}: version ${version}, which nobody sent`
      return verify("sha512", content, key, Buffer.from(digest, "hex"))
        ? undefined
        : `${name}: the signature is another version's`
    },
    counts: () => ({
      begun: [...begun.values()].reduce((sum, count) => sum + count, 0),
      acknowledged: acknowledgements
    })
  }
}
