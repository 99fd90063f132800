/** What is counted of uploads that end. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Metric } from "effect"
import { TooBusy } from "../../../src/RelayError.ts"
import { BadSignature } from "../../../src/shared-files/file/SharedFileError.ts"
import * as UploadMetrics from "../../../src/shared-files/upload/UploadMetrics.ts"

/** How many there were until now, by their reason. */
const refusals = (): ReadonlyMap<string, number> => {
  const found = new Map<string, number>()
  for (const { metricKey, metricState } of Metric.unsafeSnapshot())
    if (metricKey.name === "rudder_relay_upload_refusals_total" && "count" in metricState)
      found.set(metricKey.tags.map(({ value }) => value).join(), Number(metricState.count))
  return found
}

describe("an upload that is counted", () => {
  it.effect("ends as it would, and is a refusal by its error's reason or tag where it has one", () =>
    Effect.gen(function* () {
      const before = refusals()
      const busy = new TooBusy({ message: "why", retryAfterSeconds: 1 })
      const ends: ReadonlyArray<Exit.Exit<string, BadSignature | TooBusy>> = [
        Exit.succeed("kept"),
        Exit.fail(new BadSignature({ reason: "stale", message: "why" })),
        Exit.fail(busy),
        Exit.fail(busy),
        Exit.die("defect"),
        Exit.interrupt(yield* Effect.fiberId)
      ]
      for (const end of ends) expect(yield* Effect.exit(UploadMetrics.counted(end))).toEqual(end)
      const more = [...refusals()].map(
        ([reason, count]) => [reason, count - (before.get(reason) ?? 0)] as const
      )
      expect(more.filter(([, count]) => count !== 0)).toEqual(
        expect.arrayContaining([
          ["stale", 1],
          ["TooBusy", 2]
        ])
      )
      expect(more.reduce((all, [, count]) => all + count, 0)).toBe(3)
    })
  )
})
