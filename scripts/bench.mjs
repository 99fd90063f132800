// npm run bench: what the relay's work costs, beside programs that do the same and the limits of the machine. Everything
// is on loopback, bounded in count and time, and compared within one round, so that ratios mean something anywhere.

import { parseArgs } from "node:util"
import { markdown, measure, print } from "./bench/rounds.mjs"
import history from "./bench/rows/history.mjs"
import requests from "./bench/rows/requests.mjs"
import runs from "./bench/rows/runs.mjs"
import starts from "./bench/rows/starts.mjs"
import uploads from "./bench/rows/uploads.mjs"
import { end, endAtSignals, measureProgram } from "./bench/support.mjs"
import { installCommands } from "./debian.mjs"
import { build, install } from "./setup.mjs"

const usage = `npm run bench -- [ROW…] [--short] [--json] [--markdown] [--rounds N] [--program FILE] [--list]

  ROW           measure these rows alone, by name; otherwise all of them
  --short       smaller counts and three rounds; ends with 1 where a ratio is worse than half its aim in all of them
  --json        one JSON document instead of text
  --markdown    the table of docs/performance.md instead of text
  --rounds N    how many rounds, of which the median is shown; 5
  --program F   another build of the relay, by its main.cjs
  --list        only say which rows there are
`

const all = [...requests, ...uploads, ...runs, ...starts, ...history]

const fail = (message) => {
  console.error(`${message}\n\n${usage}`)
  process.exit(2)
}

const readArguments = () => {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        short: { type: "boolean", default: false },
        json: { type: "boolean", default: false },
        markdown: { type: "boolean", default: false },
        list: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
        rounds: { type: "string" },
        program: { type: "string" }
      }
    })
  } catch (error) {
    return fail(error.message)
  }
}

const { positionals, values } = readArguments()
if (values.help) {
  console.log(usage)
  process.exit(0)
}
if (values.list) {
  for (const { name, what } of all) console.log(`${name.padEnd(16)} ${what}`)
  process.exit(0)
}
const unknown = positionals.filter((name) => !all.some((row) => row.name === name))
if (unknown.length > 0) fail(`no row is called ${unknown.join(", ")}`)
const rounds = Number(values.rounds ?? (values.short ? 3 : 5))
if (!Number.isInteger(rounds) || rounds < 1) fail("--rounds is a number above 0")

const chosen = positionals.length === 0 ? all : all.filter(({ name }) => positionals.includes(name))
// In the short form rows that take minutes for their sizes alone are left out, and those of which nothing is compared with
// what ran beside it, unless they are named.
const leftOut = /^(growth|history|large|start|output|lines)/
const rows =
  values.short && positionals.length === 0 ? chosen.filter(({ name }) => !leftOut.test(name)) : chosen

installCommands({
  openssl: "openssl",
  curl: "curl",
  nginx: "nginx-light",
  clush: "clustershell",
  perl: "perl",
  xargs: "findutils"
})
install()
if (values.program === undefined) build()
else measureProgram(values.program)

const isText = !values.json && !values.markdown
const measured = []
endAtSignals()
try {
  for (const row of rows) {
    const taken = await measure(row, { rounds, isShort: values.short })
    measured.push(taken)
    if (isText) console.log(`${print(taken)}\n`)
    else console.error(row.name)
  }
} finally {
  await end()
}
if (values.json)
  console.log(
    JSON.stringify({ date: new Date().toISOString(), node: process.version, rounds, rows: measured }, null, 2)
  )
if (values.markdown) console.log(markdown(measured))
const aims = measured.flatMap((row) => row.aims.map((aim) => ({ ...aim, row: row.name })))
if (isText) console.log(`${aims.filter(({ reached }) => reached).length} of ${aims.length} aims reached`)
const bad = aims.filter(({ halfway, isRatio }) => isRatio && !halfway)
if (values.short && bad.length > 0) {
  for (const { figure, over, row, value } of bad)
    console.error(
      `${row}: ${figure} ${value.least.toFixed(2)} to ${value.most.toFixed(2)} × ${over} is worse than half its aim`
    )
  process.exitCode = 1
}
