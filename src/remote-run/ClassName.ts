/** A CFEngine class ("condition") to define for one run. */
import { Schema } from "effect"

/** Its form. */
export const pattern = /^[a-zA-Z0-9][a-zA-Z0-9_]{0,1023}$/

/** A class that agents are to define: 1 to 1024 letters, digits or `_`, the first not `_`. */
export const ClassName = Schema.String.pipe(
  Schema.pattern(pattern, {
    message: () => "expected 1 to 1024 letters, digits or '_', the first not '_'"
  }),
  Schema.brand("ClassName")
).annotations({ identifier: "ClassName" })
export type ClassName = typeof ClassName.Type
