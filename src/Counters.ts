/**
 * Metrics that hot paths count with: a plain call for each, and no look into a registry. They are Effect's own, so a program
 * that embeds the relay sees them among its others.
 */
import { Metric, MetricBoundaries, MetricKey, MetricLabel } from "effect"

/** What the names of the relay's own metrics begin with. */
export const prefix = "rudder_relay_"

/** Names and values of labels. */
export type Labels = Readonly<Record<string, string>>

const labelsOf = (labels: Labels) =>
  Object.entries(labels).map(([name, value]) => MetricLabel.make(name, value))

/** A counter, which is there from now on, as 0: one that first appears as 1 is no increase to Prometheus. */
export const counter = (name: string, description: string, labels: Labels = {}): ((by?: number) => void) => {
  const key = MetricKey.counter(`${prefix}${name}`, { description, incremental: true })
  const metric = Metric.fromMetricKey(MetricKey.taggedWithLabels(key, labelsOf(labels)))
  metric.register()
  return (by = 1) => metric.unsafeUpdate(by, [])
}

/** Counters of one name, one for each value of a label; all are there from now on. */
export const family = <Value extends string>(
  name: string,
  description: string,
  label: string,
  values: ReadonlyArray<Value>
): ((value: Value, by?: number) => void) => {
  const counters = new Map(values.map((value) => [value, counter(name, description, { [label]: value })]))
  return (value, by) => counters.get(value)?.(by)
}

/**
 * The upper ends of a histogram's buckets. Two histograms of one name and the same labels are one where these are the same
 * value: Effect does not compare what is in them.
 */
export const bounds = (values: ReadonlyArray<number>): MetricBoundaries.MetricBoundaries =>
  MetricBoundaries.fromIterable(values)

/** A histogram of what is added to it. */
export const histogram = (
  name: string,
  description: string,
  bounds: MetricBoundaries.MetricBoundaries,
  labels: Labels = {}
): ((value: number) => void) => {
  const key = MetricKey.histogram(`${prefix}${name}`, bounds, description)
  const metric = Metric.fromMetricKey(MetricKey.taggedWithLabels(key, labelsOf(labels)))
  metric.register()
  return (value) => metric.unsafeUpdate(value, [])
}
