import { describe, expect, it } from "@effect/vitest"
import { Effect, FastCheck, Metric, MetricBoundaries } from "effect"
import * as PrometheusText from "../../src/system/PrometheusText.ts"

/** The metrics of one prefix, which no other test has. */
const printed = (prefix: string) =>
  Effect.map(Metric.snapshot, (pairs) => PrometheusText.print(PrometheusText.familiesOf(pairs, prefix)))

describe("the text for Prometheus", () => {
  it.effect("has each metric once, with what it is, and a line for each of its labels", () =>
    Effect.gen(function* () {
      const counter = Metric.counter("text_b_total", {
        description: "So\nmany \\ of them",
        incremental: true
      })
      yield* Metric.increment(Metric.tagged(counter, "end", "two"))
      yield* Metric.incrementBy(Metric.tagged(counter, "end", "one"), 41)
      yield* Metric.set(Metric.gauge("text_a", { description: "Now" }), 1.5)
      yield* Metric.set(Metric.gauge("text_c"), Number.POSITIVE_INFINITY)
      expect(yield* printed("text_")).toBe(
        [
          "# HELP text_a Now",
          "# TYPE text_a gauge",
          "text_a 1.5",
          "# HELP text_b_total So\\nmany \\\\ of them",
          "# TYPE text_b_total counter",
          'text_b_total{end="one"} 41',
          'text_b_total{end="two"} 1',
          "# HELP text_c ",
          "# TYPE text_c gauge",
          "text_c +Inf",
          ""
        ].join("\n")
      )
      expect(yield* printed("text_a")).not.toContain("text_b")
    })
  )

  it.effect("has the buckets of a histogram, each with what is in those below it", () =>
    Effect.gen(function* () {
      const took = Metric.histogram("text_seconds", MetricBoundaries.fromIterable([0.1, 1]), "Time")
      for (const value of [0.05, 0.1, 0.5, 7]) yield* Metric.update(Metric.tagged(took, "route", "/a"), value)
      expect(yield* printed("text_seconds")).toBe(
        [
          "# HELP text_seconds Time",
          "# TYPE text_seconds histogram",
          'text_seconds_bucket{route="/a",le="0.1"} 2',
          'text_seconds_bucket{route="/a",le="1"} 3',
          'text_seconds_bucket{route="/a",le="+Inf"} 4',
          'text_seconds_sum{route="/a"} 7.65',
          'text_seconds_count{route="/a"} 4',
          ""
        ].join("\n")
      )
    })
  )

  it.effect("counts in whole numbers of any size, and leaves out what it has no lines for", () =>
    Effect.gen(function* () {
      yield* Metric.incrementBy(Metric.counter("kinds_big", { bigint: true }), 12_345_678_901_234_567_890n)
      yield* Metric.update(Metric.frequency("kinds_words"), "word")
      expect(yield* printed("kinds_")).toContain("\nkinds_big 12345678901234567890\n")
      expect(yield* printed("kinds_")).not.toContain("kinds_words")
    })
  )

  it.effect.prop(
    "any label is read back as it was, from one line",
    [FastCheck.string({ unit: "binary" }), FastCheck.uuid()],
    ([label, id]) =>
      Effect.gen(function* () {
        const prefix = `label_${id.replaceAll("-", "")}`
        const gauge = Metric.gauge(prefix)
        yield* Metric.set(Metric.tagged(gauge, "name", label), 7)
        const [line = "", ...more] = (yield* printed(prefix)).split("\n").slice(2)
        expect(more).toEqual([""])
        const quoted = /^\w+\{name="((?:[^"\\\n]|\\[\\"n])*)"\} 7$/s.exec(line)?.[1] ?? "no such line"
        expect(quoted.replaceAll(/\\(.)/g, (_, char) => (char === "n" ? "\n" : char))).toBe(label)
      }).pipe(Effect.asVoid),
    { fastCheck: { numRuns: 40 } }
  )
})
