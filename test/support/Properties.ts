/**
 * How properties run, and what one that fails says: its counterexample in one screen, and how to see it again.
 *
 * `FC_SEED` has all properties draw the same cases again, `FC_PATH` begins with the one that failed.
 */
import { inspect } from "node:util"
import { FastCheck } from "effect"

/** Of a counterexample, and of what was thrown. Characters. */
const screen = 1500

const hex = (byte: number) => byte.toString(16).padStart(2, "0")

/** Bytes, as `hello` where they are text, else in hex, and as `65536 × x` where one comes again and again. */
export const printBytes = (bytes: Uint8Array): string => {
  const text = bytes.every((byte) => byte >= 0x20 && byte < 0x7f)
  const print = (byte: number) => (text ? String.fromCharCode(byte) : hex(byte))
  const parts: Array<string> = []
  let plain = ""
  const endPlain = () => {
    if (plain !== "") parts.push(text ? JSON.stringify(plain) : plain.trim())
    plain = ""
  }
  for (let at = 0; at < bytes.length; ) {
    const byte = bytes[at] ?? 0
    let end = at + 1
    while (end < bytes.length && bytes[end] === byte) end++
    if (end - at >= 8) {
      endPlain()
      parts.push(`${end - at} × ${print(byte)}`)
    } else plain += (text ? print(byte) : `${print(byte)} `).repeat(end - at)
    at = end
  }
  endPlain()
  return `${bytes.length} bytes <${shorten(parts.join(", "), 300)}>`
}

/** The beginning and the end of what is longer than that. */
export const shorten = (text: string, length: number): string =>
  text.length <= length
    ? text
    : `${text.slice(0, length - 100)} … ${text.length - length} characters … ${text.slice(-100)}`

/** An error without the libraries' lines of its stack. */
const printThrown = (thrown: unknown): string =>
  thrown instanceof Error && thrown.stack !== undefined
    ? thrown.stack
        .split("\n")
        .filter((line) => !/^ +at .*(node_modules|node:internal)/.test(line))
        .join("\n")
    : inspect(thrown)

/** What FastCheck throws for a property that fails; undefined for one that holds. */
export const failure = <A>(details: FastCheck.RunDetails<A>): Error | undefined => {
  if (!details.failed) return undefined
  const { counterexample, counterexamplePath, errorInstance, numRuns, numSkips, numShrinks, seed } = details
  if (counterexample === null)
    return new Error(
      details.interrupted
        ? `the property was interrupted after ${numRuns} cases (seed ${seed})`
        : `too many cases were skipped: ${numSkips}, with ${numRuns} that were not (seed ${seed})`
    )
  // Without the path the same case is found again, and made smaller again.
  const path =
    counterexamplePath !== null && counterexamplePath.length < 200 ? ` FC_PATH=${counterexamplePath}` : ""
  return new Error(
    [
      `the property fails, case ${numRuns}, made smaller ${numShrinks} times:`,
      shorten(FastCheck.stringify(counterexample), screen),
      `again: FC_SEED=${seed}${path} npm test -- FILE -t NAME`,
      shorten(printThrown(errorInstance), screen)
    ].join("\n")
  )
}

Object.defineProperty(Uint8Array.prototype, FastCheck.toStringMethod, {
  configurable: true,
  value(this: Uint8Array) {
    return printBytes(this)
  }
})

const { FC_SEED, FC_PATH } = process.env

FastCheck.configureGlobal({
  ...(FC_SEED === undefined ? {} : { seed: Number(FC_SEED) }),
  ...(FC_PATH === undefined ? {} : { path: FC_PATH }),
  reporter: (details) => {
    const error = failure(details)
    if (error !== undefined) throw error
  }
})
