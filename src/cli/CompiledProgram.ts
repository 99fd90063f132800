/**
 * The program, loaded with the code that V8 made of it before, on the same machine or on one like it: to compile it at each
 * start would be a third of the whole start.
 *
 * That code stands in a file beside the program, which `dist/compile.js` writes. It is for one version of node on one kind
 * of machine; where there is none that fits, the program is compiled as any other.
 */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from "node:fs"
import { createRequire } from "node:module"
import { setFlagsFromString } from "node:v8"
import { runInNewContext, Script } from "node:vm"
import { crc32 } from "node:zlib"

/**
 * Compiled code is for the flags that it was compiled with: V8's own, as node's own modules. So those that the program uses
 * are loaded before a flag is set.
 */
const modules = [
  "child_process",
  "cluster",
  "crypto",
  "dns/promises",
  "fs/promises",
  "https",
  "os",
  "perf_hooks",
  "readline",
  "worker_threads"
]

/**
 * What a run of thousands of nodes leaves behind is collected sooner: a quarter less memory at its highest. With less than
 * this, a large upload spends as much on collecting as on hashing.
 */
const collectSooner = "--heap-growing-percent=150"

/** Of what is made at the start most stays: room for what does not would be touched once, and never given back. */
const littleRoom = "--semi-space-growth-factor=1"

/**
 * Where much of what is made waits for the disk, V8 takes it for what stays, and makes it among what is old: there it keeps
 * alive what it has to do with. All of that is then looked through again and again, and compiled code that nothing old holds
 * is forgotten each time, and compiled anew: a sixth of an upload.
 */
const madeYoung = "--no-allocation-site-pretenuring"

const ownFlags = ["--heap-growing-percent=0", "--semi-space-growth-factor=2", "--allocation-site-pretenuring"]

/** By then what follows a start is over. Milliseconds. */
const settledAfter = 5000

/**
 * What was started works now, and makes much that does not stay. What the start itself left behind is collected once: V8
 * then gives back what it does not need, some seconds later, and would otherwise wait for a reason.
 */
export const started = (): void => {
  setFlagsFromString("--semi-space-growth-factor=2")
  setTimeout(collect, settledAfter).unref()
}

const collect = (): void => {
  setFlagsFromString("--expose-gc")
  const gc: unknown = runInNewContext("gc")
  setFlagsFromString("--no-expose-gc")
  if (typeof gc === "function") gc()
}

/** Where the code is that this version of node made of a program. */
const codeFile = (program: string): string =>
  `${program.replace(/\.cjs$/, "")}.${process.version}-${process.arch}.code`

/** Bytes of the sum in front of the code. */
const sumLength = 4

const sumOf = (code: Uint8Array): Buffer => {
  const sum = Buffer.alloc(sumLength)
  sum.writeUInt32LE(crc32(code))
  return sum
}

/** The code, if it is there and whole: V8 looks for whom it is, but runs it as it is. */
const codeOf = (program: string): Buffer | undefined => {
  try {
    const bytes = readFileSync(codeFile(program))
    const code = bytes.subarray(sumLength)
    return bytes.length > sumLength && sumOf(code).equals(bytes.subarray(0, sumLength)) ? code : undefined
  } catch {
    // Without it the program starts later, and is the same.
    return undefined
  }
}

/**
 * The program in a file that `scripts/build.mjs` makes: a function in parentheses, of ASCII alone, so that what is read is
 * what V8 keeps.
 */
export const load = (program: string): Script => {
  const cachedData = codeOf(program)
  return new Script(readFileSync(program, "latin1"), {
    filename: program,
    ...(cachedData === undefined ? {} : { cachedData })
  })
}

/** Runs what `load` gave. */
export const run = (program: string, script: Script): void => {
  const require = createRequire(program)
  for (const name of modules) require(`node:${name}`)
  setFlagsFromString(collectSooner)
  setFlagsFromString(littleRoom)
  setFlagsFromString(madeYoung)
  const main: unknown = script.runInThisContext()
  if (typeof main !== "function") throw new Error(`${program} is not a program`)
  const module = { exports: {} }
  main(require, module, module.exports)
}

/** Runs a program. Where stack traces are to name its sources, node has to load it itself. */
export const start = (program: string): void => {
  if (process.sourceMapsEnabled) createRequire(program)(program)
  else run(program, load(program))
}

/** Writes the code of all that a program, which this process has loaded, has done up to now. */
export const save = (program: string, script: Script): void => {
  for (const flag of ownFlags) setFlagsFromString(flag)
  const code = script.createCachedData()
  const file = codeFile(program)
  const made = openSync(`${file}.${process.pid}`, "w", 0o644)
  try {
    writeSync(made, Buffer.concat([sumOf(code), code]))
    fsyncSync(made)
  } finally {
    closeSync(made)
  }
  renameSync(`${file}.${process.pid}`, file)
}
