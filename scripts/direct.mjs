// Has the program import the modules of effect themselves, and not what the package's index calls them: of
// `import { Effect } from "effect"` the bundler makes an object with an accessor for each function, which is asked at each
// call, and keeps all of a package. Of `import * as Effect from "effect/Effect"` it makes the functions themselves: the
// program is 0.7 MB smaller, and a start takes a tenth less time.
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { top } from "./setup.mjs"

const packages = ["effect", "@effect/platform", "@effect/cli"]

/** What an index calls its modules: each by the name of its file. */
const modulesOf = (name) => {
  const index = readFileSync(join(top, "node_modules", name, "dist/esm/index.js"), "utf8")
  return new Set(
    Array.from(index.matchAll(/^export \* as (\w+) from "\.\/\1\.js"/gm), ([, module]) => module)
  )
}

const known = new Map(packages.map((name) => [name, modulesOf(name)]))

const direct = (statement, names, name) => {
  const imported = names
    .split(",")
    .map((each) => each.trim())
    // Types are nothing at run time.
    .filter((each) => each !== "" && !each.startsWith("type "))
  const rest = imported.filter((each) => !known.get(name).has(each.split(" as ")[0]))
  const made = imported
    .filter((each) => !rest.includes(each))
    .map((each) => {
      const [module, local = module] = each.split(" as ")
      return `import * as ${local} from "${name}/${module}"`
    })
  if (rest.length > 0) made.push(`import { ${rest.join(", ")} } from "${name}"`)
  // As many lines as there were, for those that follow to be found in the sources.
  return made.join(";") + "\n".repeat(statement.split("\n").length - 1)
}

/** The imports of a module's text. */
export const withDirectImports = (text) =>
  text.replace(
    new RegExp(`^import \\{([^}]*)\\} from "(${packages.join("|")})"$`, "gm"),
    (statement, names, name) => direct(statement, names, name)
  )

/** For esbuild. */
export const directImports = {
  name: "direct imports",
  setup: ({ onLoad }) => {
    onLoad({ filter: /\/src\/.*\.ts$/ }, ({ path }) =>
      path.startsWith(join(top, "src/"))
        ? { contents: withDirectImports(readFileSync(path, "utf8")), loader: "ts" }
        : undefined
    )
  }
}
