// A row is measured in rounds: in each one every subject, one after the other, so that all of them see the same machine.
// What is compared is compared within a round; what is shown is the median of the rounds, with the least and the most.

/** The middle one of some numbers, and the ends. */
const spread = (numbers) => {
  const sorted = [...numbers].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return {
    median: sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2,
    least: sorted[0],
    most: sorted[sorted.length - 1]
  }
}

/** What an aim speaks of, round by round: a figure of a subject, or its ratio to another one's, or what it is more. */
const valuesOf = (aim, rounds) =>
  rounds.flatMap((round) => {
    const own = round[aim.of ?? "here"]?.[aim.figure]
    if (own === undefined) return []
    if (aim.over === undefined) return [own]
    const other = round[aim.over]?.[aim.figure]
    if (other === undefined) return []
    return [aim.difference ? own - other : own / other]
  })

const judged = (aim, rounds) => {
  const values = valuesOf(aim, rounds)
  if (values.length === 0) return undefined
  const value = spread(values)
  // Some are reached by a figure of their own too, however fast the other is.
  const own = aim.or === undefined ? undefined : spread(rounds.map((round) => round.here[aim.figure]))
  const reached =
    own?.median >= aim.or || (aim.least === undefined ? value.median <= aim.most : value.median >= aim.least)
  // In one round at least: what makes all of them worse is no chance, as another program's work in one of them is.
  const halfway =
    own?.most >= aim.or / 2 ||
    (aim.least === undefined ? value.least <= aim.most * 2 : value.most >= aim.least / 2)
  return { ...aim, value, reached, halfway, isRatio: aim.over !== undefined && aim.difference !== true }
}

/** Passes before the first round that the short form takes at most. */
const mostShort = 2

/**
 * Measures a row.
 * @param row `name`, `what`, `aims`, `warmUps` (how often each subject is run before the first round: 1), and
 * `prepare(scope, isShort)`, which gives the subjects: by name, functions that give
 * figures; what is to be stopped is given to `scope`
 */
export const measure = async (row, { rounds, isShort }) => {
  const things = []
  const scope = (thing) => {
    things.push(thing)
    return thing
  }
  try {
    const subjects = await row.prepare(scope, isShort)
    const taken = []
    const { warmUps = 1 } = row
    for (let pass = 0; pass < (isShort ? Math.min(warmUps, mostShort) : warmUps); pass++)
      for (const subject of Object.values(subjects)) await subject()
    for (let round = 0; round < Math.min(rounds, row.rounds ?? rounds); round++) {
      const names = Object.keys(subjects)
      const figures = {}
      // Nobody is always the first one, behind whatever was before.
      const turned = [...names.slice(round % names.length), ...names.slice(0, round % names.length)]
      for (const name of turned) figures[name] = await subjects[name]()
      taken.push(figures)
    }
    return {
      name: row.name,
      what: row.what,
      subjects: Object.fromEntries(
        Object.keys(subjects).map((name) => [
          name,
          Object.fromEntries(
            Object.keys(taken[0][name]).map((figure) => [
              figure,
              spread(taken.map((figures) => figures[name][figure]))
            ])
          )
        ])
      ),
      aims: row.aims.flatMap((aim) => judged(aim, taken) ?? [])
    }
  } finally {
    for (const thing of things.reverse()) await thing.stop()
  }
}

const units = {
  rate: "/s",
  cpu: " µs of CPU",
  time: " ms",
  memory: " MiB",
  speed: " MB/s",
  worked: " MB a second of CPU",
  delay: " ms at p99",
  median: " ms median"
}

const printed = (number) => {
  const digits = Math.abs(number) >= 100 ? 0 : Math.abs(number) >= 10 ? 1 : 2
  return number.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits })
}

const printedSpread = ({ median, least, most }) =>
  least === most ? printed(median) : `${printed(median)} (${printed(least)}–${printed(most)})`

/** A row as lines of text. */
export const print = ({ name, what, subjects, aims }) => {
  const lines = [`${name}: ${what}`]
  for (const [subject, figures] of Object.entries(subjects))
    lines.push(
      `  ${subject.padEnd(34)} ${Object.entries(figures)
        .map(([figure, value]) => `${printedSpread(value)}${units[figure]}`)
        .join(", ")}`
    )
  for (const aim of aims) lines.push(`  ${printAim(aim)}`)
  return lines.join("\n")
}

const printAim = (aim) => {
  const { difference, figure, least, most, of, or, over, reached, value } = aim
  const subject = of === undefined ? "" : `${of}: `
  const unit = aim.isRatio ? "" : units[figure]
  const against = over === undefined ? "" : difference ? ` more than ${over}` : ` × ${over}`
  const wanted = least === undefined ? `≤ ${most}` : `≥ ${least}`
  const name = figure in names ? `${names[figure]} ` : ""
  return `${reached ? "reached" : "NOT YET"} ${subject}${name}${printedSpread(value)}${unit}${against}, aim ${wanted}${unit}${difference ? " more" : ""}${or === undefined ? "" : ` or ${printed(or)}${units[figure]}`}`
}

const names = { rate: "rate", cpu: "work", time: "time", speed: "speed" }

/** What is a table in docs/performance.md. */
export const markdown = (rows) =>
  [
    "| row | | here | beside it | aim | |",
    "|---|---|---|---|---|---|",
    ...rows.flatMap(({ aims, name, subjects, what }) => {
      const of = (subject) =>
        Object.entries(subjects[subject] ?? {})
          .map(([figure, value]) => `${printedSpread(value)}${units[figure]}`)
          .join(", ")
      const [first, ...others] = Object.keys(subjects)
      return [
        `| \`${name}\` | ${what} | ${first === "here" ? of("here") : `${first}: ${of(first)}`} | ${others.map((other) => `${other}: ${of(other)}`).join("; ")} | ${aims.map((aim) => printAim(aim).replace(/^(reached|NOT YET) /, "")).join("; ")} | ${aims.map(({ reached }) => (reached ? "✓" : "–")).join(" ")} |`
      ]
    })
  ].join("\n")
