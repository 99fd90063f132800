/** A CFEngine class ("condition") to define for one run. */
import { Schema } from "effect"

export const ClassName = Schema.String.pipe(
  Schema.pattern(/^[a-zA-Z0-9][a-zA-Z0-9_]*$/),
  Schema.maxLength(1024),
  Schema.brand("ClassName")
).annotations({
  identifier: "ClassName",
  message: () => "expected letters, digits and '_', at most 1024, not beginning with '_'"
})
export type ClassName = typeof ClassName.Type
