/** One key of the configuration: a field of the settings' schema, with what a person has to know about it. */
import { Option, Schema, SchemaAST } from "effect"
import * as Values from "./Values.ts"

interface Facts {
  readonly doc: string
  /** The default, as the documentation shows it, which alone asks for it. */
  readonly shown: () => string
  /** The key's last part, where it is not the field's name in snake case. */
  readonly name: string | undefined
}

/** Of each field that is a key. As annotations of its schema they would be a schema more for each, at every start. */
const factsOf = new WeakMap<Schema.Struct.Field, Facts>()

const withFacts = <Field extends Schema.Struct.Field>(field: Field, facts: Facts): Field => {
  factsOf.set(field, facts)
  return field
}

interface More {
  readonly name?: string
  /** What the documentation says in place of the default's own text. */
  readonly shown?: string
}

const shownValue = (encoded: unknown): string =>
  Array.isArray(encoded) ? (encoded.length === 0 ? "–" : encoded.join(", ")) : String(encoded)

/** A key with a default. */
export const setting = <A, I>(
  schema: Schema.Schema<A, I>,
  fallback: NoInfer<A>,
  doc: string,
  more: More = {}
) =>
  withFacts(Schema.optionalWith(schema, { default: () => fallback }), {
    doc,
    shown: () => more.shown ?? shownValue(Schema.encodeSync(schema)(fallback)),
    name: more.name
  })

/** A key that may be absent. */
export const optional = <A, I>(schema: Schema.Schema<A, I>, doc: string, more: More = {}) =>
  withFacts(Schema.optionalWith(schema, { as: "Option" }), {
    doc,
    shown: () => more.shown ?? "–",
    name: more.name
  })

/** A key as it is read and documented. */
export interface Key {
  /** `shared_files.cleanup.frequency` */
  readonly key: string
  /** Where the settings have it: `sharedFiles`, `cleanupFrequency`. */
  readonly path: ReadonlyArray<string>
  /** Completes "expected …". */
  readonly expected: string
  readonly fallback: string
  readonly doc: string
  /** What the text of its environment variable stands for in TOML. */
  readonly fromText: (text: string) => unknown
}

const snake = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

/** The schema of a key's value; undefined where the field is a section. */
const valueOf = (field: Schema.Struct.Field): SchemaAST.AST | undefined =>
  Schema.isPropertySignature(field) && "from" in field && Schema.isSchema(field.from)
    ? field.from.ast
    : undefined

const isSection = (field: Schema.Struct.Field): field is Schema.Struct<Schema.Struct.Fields> =>
  Schema.isSchema(field) && "fields" in field

/** The keys of a schema of sections, in its order. */
export const keysOf = (
  section: { readonly fields: Schema.Struct.Fields },
  path: ReadonlyArray<string> = [],
  prefix = ""
): ReadonlyArray<Key> =>
  Object.entries(section.fields).flatMap(([name, field]): ReadonlyArray<Key> => {
    if (isSection(field)) return keysOf(field, [...path, name], `${prefix}${snake(name)}.`)
    const ast = valueOf(field)
    const facts = factsOf.get(field)
    if (ast === undefined || facts === undefined) return []
    return [
      {
        key: `${prefix}${facts.name ?? snake(name)}`,
        path: [...path, name],
        expected: Option.getOrElse(SchemaAST.getDescriptionAnnotation(ast), () => "another value"),
        get fallback() {
          return facts.shown()
        },
        doc: facts.doc,
        fromText: (text) => Values.fromText(ast, text)
      }
    ]
  })
