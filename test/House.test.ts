/** The plan of the house, as ARCHITECTURE.md draws it: what may import what, and how large a thing may grow. */
import { readdirSync, readFileSync } from "node:fs"
import { join, posix } from "node:path"
import { fileURLToPath } from "node:url"
import { describe, expect, it } from "@effect/vitest"
import ts from "typescript"

const top = fileURLToPath(new URL("..", import.meta.url))

/** From the ground up: a module imports from its own storey and those below. */
const storeys: ReadonlyArray<ReadonlyArray<string>> = [
  [
    "NodeId.ts",
    "Hostname.ts",
    "RelayError.ts",
    "Acquired.ts",
    "Race.ts",
    "Line.ts",
    "Permits.ts",
    "Bytes.ts",
    "PerObject.ts",
    "LogLine.ts",
    "Outcome.ts",
    "AtOnce.ts",
    "FiberClock.ts",
    "Bag.ts",
    "EventLoop.ts",
    "Printable.ts",
    "Raw.d.ts",
    "Span.ts",
    "Glob.ts",
    "RequestReport.ts",
    "Counters.ts",
    "Smallest.ts",
    "Stacked.ts"
  ],
  ["config/"],
  ["topology/"],
  ["disk/"],
  ["http/", "access/"],
  ["peers/"],
  ["remote-run/"],
  ["shared-files/"],
  ["shared-folder/"],
  ["system/"],
  ["RelayApi.ts"],
  ["client/"],
  ["server/"],
  ["Relay.ts"],
  ["index.ts", "testing.ts", "testing/"],
  ["cli/"],
  ["main.ts", "compile.ts", "complete.ts"]
]

/** `HttpApiBuilder.group` wants the whole API, which the groups are part of. */
const namesTheWholeApi = [
  "remote-run/RemoteRunHttp.ts",
  "shared-files/SharedFilesHttp.ts",
  "shared-folder/SharedFolderHttp.ts",
  "system/SystemHttp.ts"
]

const maxModuleLines = 350
const maxFunctionLines = 90

const parse = (module: string): ts.SourceFile =>
  ts.createSourceFile(module, readFileSync(join(top, "src", module), "utf8"), ts.ScriptTarget.Latest, true)

const modules = new Map(
  readdirSync(join(top, "src"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .sort()
    .map((name) => [name, parse(name)] as const)
)

/** What is loaded when it is asked for: `import("./Name.ts")`. */
const loadedLater = (source: ts.SourceFile): ReadonlyArray<ts.Node> => {
  const found: Array<ts.Node> = []
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword)
      found.push(...node.arguments)
    ts.forEachChild(node, visit)
  }
  visit(source)
  return found
}

/** Of types too: what a type is made of is known where it is used. */
const importsOf = (module: string, source: ts.SourceFile): ReadonlyArray<string> =>
  source.statements
    .filter((statement) => ts.isImportDeclaration(statement) || ts.isExportDeclaration(statement))
    .map(({ moduleSpecifier }) => moduleSpecifier)
    .concat(loadedLater(source).filter(ts.isExpression))
    .filter((specifier) => specifier !== undefined)
    .filter(ts.isStringLiteral)
    .map(({ text }) => posix.join(posix.dirname(module), text))
    .filter((name) => modules.has(name))

const imports = new Map([...modules].map(([name, source]) => [name, importsOf(name, source)] as const))

const storeyOf = (module: string): number =>
  storeys.findIndex((names) => names.some((name) => module === name || module.startsWith(name)))

/** The first way that leads back to where it began. */
const circle = (): ReadonlyArray<string> | undefined => {
  const done = new Set<string>()
  const visit = (module: string, path: ReadonlyArray<string>): ReadonlyArray<string> | undefined => {
    if (path.includes(module)) return [...path.slice(path.indexOf(module)), module]
    if (done.has(module)) return undefined
    for (const next of imports.get(module) ?? []) {
      const found = visit(next, [...path, module])
      if (found !== undefined) return found
    }
    done.add(module)
    return undefined
  }
  for (const module of modules.keys()) {
    const found = visit(module, [])
    if (found !== undefined) return found
  }
  return undefined
}

const linesOf = (source: ts.SourceFile, node: ts.Node): number =>
  source.getLineAndCharacterOfPosition(node.end).line -
  source.getLineAndCharacterOfPosition(node.getStart(source)).line +
  1

const longFunctions = (module: string, source: ts.SourceFile): ReadonlyArray<string> => {
  const found: Array<string> = []
  const visit = (node: ts.Node): void => {
    if (ts.isFunctionLike(node) && linesOf(source, node) > maxFunctionLines) {
      const { line } = source.getLineAndCharacterOfPosition(node.getStart(source))
      found.push(`${module}:${line + 1} (${linesOf(source, node)} lines)`)
    }
    ts.forEachChild(node, visit)
  }
  visit(source)
  return found
}

/** Whose exports are not all documented yet. */
const undocumented = ["remote-run/agents/"]

const isExported = (statement: ts.Statement): boolean =>
  ts.canHaveModifiers(statement) &&
  ts.getModifiers(statement)?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword) === true

/** The name of what a statement declares; the names of several. */
const namesOf = (statement: ts.Statement): ReadonlyArray<string> => {
  if (ts.isVariableStatement(statement))
    return statement.declarationList.declarations.map(({ name }) => name.getText())
  const isNamed =
    ts.isFunctionDeclaration(statement) ||
    ts.isClassDeclaration(statement) ||
    ts.isInterfaceDeclaration(statement) ||
    ts.isTypeAliasDeclaration(statement)
  return isNamed ? [statement.name?.text ?? "default"] : []
}

/** A docstring stands right above. One above the first statement of a module is the module's own. */
const hasDocstring = (source: ts.SourceFile, statement: ts.Statement): boolean => {
  const comments = ts.getLeadingCommentRanges(source.text, statement.pos) ?? []
  const docstrings = comments.filter(({ pos }) => source.text.startsWith("/**", pos))
  return docstrings.length > (statement === source.statements[0] ? 1 : 0)
}

/** Exports without a docstring. A schema's type has that of the schema; of overloads the first has it. */
const undocumentedOf = (module: string, source: ts.SourceFile): ReadonlyArray<string> => {
  const exported = source.statements.filter(isExported)
  const documented = new Set(exported.filter((one) => hasDocstring(source, one)).flatMap(namesOf))
  return exported
    .flatMap(namesOf)
    .filter((name) => !documented.has(name))
    .map((name) => `${module}: ${name}`)
}

describe("the house", () => {
  it("has a storey for every module", () => {
    expect([...modules.keys()].filter((module) => storeyOf(module) < 0)).toEqual([])
  })

  it("has no import that goes up, but for the four that name the whole API", () => {
    const upward = [...imports].flatMap(([module, names]) =>
      names
        .filter((name) => storeyOf(name) > storeyOf(module))
        .filter((name) => !(name === "RelayApi.ts" && namesTheWholeApi.includes(module)))
        .map((name) => `${module} → ${name}`)
    )
    expect(upward).toEqual([])
  })

  it("has no circle of imports, of types neither", () => {
    expect(circle()?.join(" → ")).toBeUndefined()
  })

  it(`has no module of over ${maxModuleLines} lines`, () => {
    const long = [...modules]
      .map(([module, source]) => [module, source.getLineStarts().length - 1] as const)
      .filter(([, lines]) => lines > maxModuleLines)
      .map(([module]) => module)
    expect(long).toEqual([])
  })

  it(`has no function of over ${maxFunctionLines} lines`, () => {
    expect([...modules].flatMap(([module, source]) => longFunctions(module, source))).toEqual([])
  })

  it("has a docstring for every export", () => {
    const found = [...modules]
      .filter(([module]) => !undocumented.some((name) => module.startsWith(name)))
      .flatMap(([module, source]) => undocumentedOf(module, source))
    expect(found).toEqual([])
  })
})
