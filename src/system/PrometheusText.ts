/** Metrics as Prometheus reads them: its text format, 0.0.4. */
import { type MetricKey, type MetricPair, MetricState } from "effect"

/** Of Prometheus' text format. */
export const contentType = "text/plain; version=0.0.4; charset=utf-8"

/** A line of it per label set; the value is a double there. */
interface Family {
  readonly type: "counter" | "gauge"
  readonly help: string
  readonly lines: Array<string>
}

const escape = (text: string): string => text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")
const escapeLabel = (text: string): string => escape(text).replaceAll('"', '\\"')

const printLabels = ({ tags }: MetricKey.MetricKey.Untyped): string =>
  tags.length === 0 ? "" : `{${tags.map(({ key, value }) => `${key}="${escapeLabel(value)}"`).join(",")}}`

const printNumber = (value: number | bigint): string =>
  value === Number.POSITIVE_INFINITY ? "+Inf" : value === Number.NEGATIVE_INFINITY ? "-Inf" : String(value)

/** Undefined for the kinds of metrics that the relay has not. */
const valueOf = (
  state: MetricState.MetricState.Untyped
): { readonly type: Family["type"]; readonly value: number | bigint } | undefined => {
  if (MetricState.isCounterState(state)) return { type: "counter", value: state.count }
  return MetricState.isGaugeState(state) ? { type: "gauge", value: state.value } : undefined
}

/** The counters and gauges whose names begin like this: others are those of the program that embeds a relay. */
export const print = (pairs: ReadonlyArray<MetricPair.MetricPair.Untyped>, prefix: string): string => {
  const families = new Map<string, Family>()
  for (const { metricKey, metricState } of pairs) {
    const found = valueOf(metricState)
    if (found === undefined || !metricKey.name.startsWith(prefix)) continue
    const help = metricKey.description._tag === "Some" ? metricKey.description.value : ""
    const family = families.get(metricKey.name) ?? { type: found.type, help, lines: [] }
    family.lines.push(`${metricKey.name}${printLabels(metricKey)} ${printNumber(found.value)}\n`)
    families.set(metricKey.name, family)
  }
  return [...families]
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(
      ([name, { type, help, lines }]) =>
        `# HELP ${name} ${escape(help)}\n# TYPE ${name} ${type}\n${lines.sort().join("")}`
    )
    .join("")
}
