/** What the log says, for tests: each line as its message and annotations. */
import { HashMap, type Layer, Logger } from "effect"

export const logLines = (): { readonly lines: ReadonlyArray<string>; readonly layer: Layer.Layer<never> } => {
  const lines: Array<string> = []
  const logger = Logger.make(({ annotations, logLevel, message }) => {
    const fields = [...HashMap.entries(annotations)].sort().map(([name, value]) => `${name}=${String(value)}`)
    lines.push([logLevel.label, ...[message].flat().map(String), ...fields].join(" "))
  })
  return { lines, layer: Logger.replace(Logger.defaultLogger, logger) }
}
