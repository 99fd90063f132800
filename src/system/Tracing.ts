/**
 * Spans for an OpenTelemetry collector: a request, who asked, what was decoded, and the agents, sub-relays and files
 * behind it. The environment says where they go, in OpenTelemetry's own words; without an endpoint nothing is traced.
 */
import * as OtlpSerialization from "@effect/opentelemetry/OtlpSerialization"
import * as OtlpTracer from "@effect/opentelemetry/OtlpTracer"
import { FetchHttpClient, HttpMiddleware } from "@effect/platform"
import { Config, Effect, FiberRef, Layer, Option } from "effect"
import * as Stacked from "../Stacked.ts"
import * as Version from "./Version.ts"

/** Without a tracer no spans are made: they would cost as much as a request takes without them. */
const off = Layer.scopedDiscard(
  Effect.andThen(
    Effect.locallyScoped(FiberRef.currentTracerEnabled, false),
    Effect.locallyScoped(HttpMiddleware.currentTracerDisabledWhen, () => true)
  )
)

/** `name=value` pairs, as OpenTelemetry writes them: with commas between, values percent-encoded. */
const headersOf = (text: string): Record<string, string> =>
  Object.fromEntries(
    text
      .split(",")
      .map((pair) => /^\s*([^=\s]+)\s*=\s*(.*?)\s*$/.exec(pair))
      .filter((match) => match !== null)
      .map(([, name = "", value = ""]) => [name, decoded(value)])
  )

const decoded = (value: string): string => {
  try {
    return decodeURIComponent(value)
  } catch {
    return value
  }
}

const variable = (name: string) =>
  Config.option(Config.nonEmptyString(name)).pipe(Effect.orElseSucceed(() => Option.none<string>()))

/** Where spans are sent: OpenTelemetry's variable for traces names the whole URL, the one for everything only its root. */
const endpoint = Effect.gen(function* () {
  const disabled = yield* variable("OTEL_SDK_DISABLED")
  if (Option.exists(disabled, (value) => value.toLowerCase() === "true")) return Option.none<string>()
  const traces = yield* variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
  const all = yield* variable("OTEL_EXPORTER_OTLP_ENDPOINT")
  return Option.orElse(traces, () => Option.map(all, (url) => `${url.replace(/\/*$/, "")}/v1/traces`))
})

const unusable = (url: string) =>
  Layer.merge(
    off,
    Layer.effectDiscard(
      Effect.logWarning("nothing is traced: the OTLP endpoint of the environment is no URL").pipe(
        Effect.annotateLogs({ endpoint: url })
      )
    )
  )

/**
 * Around everything that is to be traced. Spans go in batches, every 5 s and at the end, as OTLP in JSON over HTTP; a
 * collector that can't be reached is let be for a minute and loses the spans of that time.
 */
export const layer: Layer.Layer<never> = Stacked.unwrap(
  Effect.gen(function* () {
    const url = yield* endpoint
    if (Option.isNone(url)) return off
    if (!URL.canParse(url.value)) return unusable(url.value)
    const headers = yield* variable("OTEL_EXPORTER_OTLP_HEADERS")
    const name = yield* variable("OTEL_SERVICE_NAME")
    return OtlpTracer.layer({
      url: url.value,
      headers: headersOf(Option.getOrElse(headers, () => "")),
      resource: {
        serviceName: Option.getOrElse(name, () => "rudder-relay"),
        serviceVersion: Version.full
      }
    }).pipe(Layer.provide([OtlpSerialization.layerJson, FetchHttpClient.layer]))
  })
)
