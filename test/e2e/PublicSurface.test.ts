/** What the library's types are made of can be named by who uses them. */
import { fileURLToPath } from "node:url"
import ts from "typescript"
import { expect, it } from "vitest"

const top = fileURLToPath(new URL("../..", import.meta.url))
const entries = ["src/index.ts", "src/testing.ts"].map((name) => top + name)

it("everything that a public type mentions is exported by name", () => {
  const { config } = ts.readConfigFile(`${top}tsconfig.json`, ts.sys.readFile)
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, top)
  const program = ts.createProgram(entries, options)
  const checker = program.getTypeChecker()
  const real = (symbol: ts.Symbol) =>
    (symbol.flags & ts.SymbolFlags.Alias) === 0 ? symbol : checker.getAliasedSymbol(symbol)
  const isOurs = (node: ts.Node) => node.getSourceFile().fileName.startsWith(`${top}src/`)

  const exported = new Set<ts.Symbol>()
  const add = (of: ts.Symbol): void => {
    const symbol = real(of)
    if (exported.has(symbol)) return
    exported.add(symbol)
    if ((symbol.flags & ts.SymbolFlags.ValueModule) !== 0) checker.getExportsOfModule(symbol).forEach(add)
  }
  for (const entry of entries) {
    const source = program.getSourceFile(entry)
    const module = source === undefined ? undefined : checker.getSymbolAtLocation(source)
    if (module !== undefined) checker.getExportsOfModule(module).forEach(add)
  }
  expect(exported.size).toBeGreaterThan(100)

  const missing = new Set<string>()
  const look = (node: ts.Node | undefined, owner: string): void => {
    if (node === undefined) return
    const name = ts.isTypeReferenceNode(node)
      ? node.typeName
      : ts.isExpressionWithTypeArguments(node)
        ? node.expression
        : undefined
    const found = name === undefined ? undefined : checker.getSymbolAtLocation(name)
    const symbol = found === undefined ? undefined : real(found)
    const [declaration] = symbol?.declarations ?? []
    if (symbol !== undefined && declaration !== undefined && isOurs(declaration))
      if ((symbol.flags & ts.SymbolFlags.TypeParameter) === 0 && !exported.has(symbol))
        missing.add(`${owner} mentions ${symbol.name}`)
    ts.forEachChild(node, (child) => look(child, owner))
  }
  for (const symbol of exported)
    for (const declaration of (symbol.declarations ?? []).filter(isOurs)) {
      if (ts.isInterfaceDeclaration(declaration) || ts.isTypeAliasDeclaration(declaration))
        look(declaration, symbol.name)
      if (ts.isClassDeclaration(declaration))
        for (const clause of declaration.heritageClauses ?? []) look(clause, symbol.name)
      if (!ts.isVariableDeclaration(declaration)) continue
      look(declaration.type, symbol.name)
      const { initializer } = declaration
      if (initializer !== undefined && ts.isArrowFunction(initializer))
        for (const part of [...initializer.parameters, initializer]) look(part.type, symbol.name)
    }
  expect([...missing]).toEqual([])
})
