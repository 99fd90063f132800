import { describe, expect, it } from "@effect/vitest"
import * as Flights from "../../../src/shared-files/outbox/Flights.ts"

const key = "0123456789abcdef0123456789abcdef"

describe("a flight", () => {
  it("that is over holds nothing of what was sent, and is none that can be stopped", () => {
    const flights = Flights.make()
    const flight = Flights.begin(flights, key)
    let stopped = 0
    flight.stop = () => void stopped++
    Flights.end(flights, key, flight)
    flight.stop()
    expect(stopped).toBe(0)
    expect(flights.files.size).toBe(0)
  })
})
