/** Metrics as Prometheus reads them: its text format, 0.0.4. */
import { type MetricPair, MetricState } from "effect"

/** Of Prometheus' text format. */
export const contentType = "text/plain; version=0.0.4; charset=utf-8"

type Labels = Readonly<Record<string, string>>

/** A metric: a line per label set, or, of a histogram, several. */
interface Family {
  readonly type: "counter" | "gauge" | "histogram"
  readonly help: string
  /** Each with what it is sorted by. */
  readonly series: Array<{ readonly labels: string; readonly lines: string }>
}

/** Metrics by their names. */
export type Families = Map<string, Family>

/** One value. */
export interface Sample {
  readonly name: string
  readonly type: "counter" | "gauge"
  readonly help: string
  /** A double, in Prometheus. */
  readonly value: number | bigint
  readonly labels?: Labels | undefined
}

const escape = (text: string): string => text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")
const escapeLabel = (text: string): string => escape(text).replaceAll('"', '\\"')

const printLabels = (labels: Labels): string => {
  const all = Object.entries(labels)
  return all.length === 0 ? "" : `{${all.map(([key, value]) => `${key}="${escapeLabel(value)}"`).join(",")}}`
}

const printNumber = (value: number | bigint): string =>
  value === Number.POSITIVE_INFINITY ? "+Inf" : value === Number.NEGATIVE_INFINITY ? "-Inf" : String(value)

const familyOf = (families: Families, name: string, type: Family["type"], help: string): Family => {
  const family = families.get(name) ?? { type, help, series: [] }
  families.set(name, family)
  return family
}

/** Adds a value. */
export const add = (families: Families, { name, type, help, value, labels = {} }: Sample): void => {
  const printed = printLabels(labels)
  familyOf(families, name, type, help).series.push({
    labels: printed,
    lines: `${name}${printed} ${printNumber(value)}\n`
  })
}

/** The buckets count what is in those below them, too. */
const addHistogram = (
  families: Families,
  name: string,
  help: string,
  labels: Labels,
  { buckets, count, sum }: MetricState.MetricState.Histogram
): void => {
  const bounded = buckets.filter(([bound]) => Number.isFinite(bound))
  const all = [...bounded, [Number.POSITIVE_INFINITY, count] as const]
  const lines = all.map(
    ([bound, below]) => `${name}_bucket${printLabels({ ...labels, le: printNumber(bound) })} ${below}\n`
  )
  const printed = printLabels(labels)
  familyOf(families, name, "histogram", help).series.push({
    labels: printed,
    lines: `${lines.join("")}${name}_sum${printed} ${printNumber(sum)}\n${name}_count${printed} ${count}\n`
  })
}

/**
 * Counters, gauges and histograms whose names begin like this: others are those of the program that embeds a relay.
 * Other kinds of metrics the relay has not.
 */
export const familiesOf = (pairs: ReadonlyArray<MetricPair.MetricPair.Untyped>, prefix: string): Families => {
  const families: Families = new Map()
  for (const { metricKey, metricState } of pairs) {
    const { name, tags, description } = metricKey
    if (!name.startsWith(prefix)) continue
    const help = description._tag === "Some" ? description.value : ""
    const labels = Object.fromEntries(tags.map(({ key, value }) => [key, value]))
    if (MetricState.isHistogramState(metricState)) addHistogram(families, name, help, labels, metricState)
    if (MetricState.isCounterState(metricState))
      add(families, { name, type: "counter", help, value: metricState.count, labels })
    if (MetricState.isGaugeState(metricState))
      add(families, { name, type: "gauge", help, value: metricState.value, labels })
  }
  return families
}

/** As text, by their names. */
export const print = (families: Families): string =>
  [...families]
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([name, { type, help, series }]) => {
      const lines = series
        .sort((one, other) => (one.labels < other.labels ? -1 : 1))
        .map((each) => each.lines)
        .join("")
      return `# HELP ${name} ${escape(help)}\n# TYPE ${name} ${type}\n${lines}`
    })
    .join("")
