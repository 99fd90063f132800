// Has the program make its schemas lighter. Effect makes each a class, a second one where it has members, and copies the AST
// of an annotated one property by property; a start makes more than a thousand. Here each is a function with its members, and
// what all of them can do stands in one object: a start takes a tenth less time, and 2 MB less memory.
import { readFileSync } from "node:fs"

/** With as many lines as there were, for those that follow to be found in the sources. */
const inLines = (before, after) => {
  const missing = before.split("\n").length - after.split("\n").length
  return missing < 0 ? inLines(before, after.replaceAll("\n", " ")) : after + "\n".repeat(missing)
}

const replaced = (text, from, to) => {
  const made = text.replace(from, (before, ...found) => inLines(before, to(before, ...found)))
  if (made === text) throw new Error(`effect has nothing like ${from}`)
  return made
}

const methods = `const methods = Object.setPrototypeOf({
  [TypeId]: variance,
  annotations(annotations) {
    return make(mergeSchemaAnnotations(this.ast, annotations));
  },
  pipe() {
    return pipeArguments(this, arguments);
  },
  toString() {
    return String(this.ast);
  }
}, Function.prototype);`

/** No arrow function, since classes extend it. */
const make = `export function make(ast) {
  const schema = function () {
    this[TypeId] = variance;
  };
  Object.setPrototypeOf(schema, methods);
  schema.ast = ast;
  return schema;
}`

/** The static members of a class, as an object has them. */
const members = (body) =>
  body
    .replace(/^ {4}static (\S+) = /gm, "    $1: ")
    .replace(/^ {4}static /gm, "    ")
    .replace(/^ {4}\}$/gm, "    },")
    .replace(/^( {4}\S.*);$/gm, "$1,")
    .replaceAll("(this)(", "(schema)(")

/** `effect/Schema`. */
export const lighterSchemas = (text) => {
  const made = replaced(text, /^export function make\(ast\) \{\n {2}return class [\s\S]*?^\}$/m, () => make)
  const shared = replaced(made, /^const variance = \{[\s\S]*?^\};$/m, (all) => `${all} ${methods}`)
  return replaced(
    shared,
    /^ {2}return class \w+ extends make\(ast\) \{\n([\s\S]*?)^ {2}\};$/gm,
    (_, body) => `  const schema = Object.assign(make(ast), {\n${members(body)}  }); return schema;`
  )
}

/** `effect/SchemaAST`: what is copied by its descriptors is of the kind whose properties are looked up by name. */
export const lighterAnnotations = (text) => {
  const made = replaced(
    text,
    "  const d = Object.getOwnPropertyDescriptors(ast);\n  const base = {",
    () => "  const base = {"
  )
  return replaced(
    made,
    "  d.annotations.value = value;\n  return Object.create(Object.getPrototypeOf(ast), d);",
    () => "  return Object.assign(Object.create(Object.getPrototypeOf(ast)), ast, { annotations: value });"
  )
}

const modules = { Schema: lighterSchemas, SchemaAST: lighterAnnotations }

/** For esbuild. */
export const withLighterSchemas = {
  name: "lighter schemas",
  setup: ({ onLoad }) => {
    for (const [module, change] of Object.entries(modules))
      onLoad({ filter: new RegExp(`/effect/dist/esm/${module}\\.js$`) }, ({ path }) => ({
        contents: change(readFileSync(path, "utf8"))
      }))
  }
}
