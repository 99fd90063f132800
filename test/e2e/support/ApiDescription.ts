/** What the API's description allows: every answer that an end-to-end test gets is held against it. */
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

interface Described {
  readonly paths: Readonly<
    Record<string, Readonly<Record<string, { readonly responses: Readonly<Record<string, unknown>> }>>>
  >
}

const file = fileURLToPath(new URL("../../../dist/openapi.json", import.meta.url))

let read: Described | undefined
const description = (): Described => {
  read ??= JSON.parse(readFileSync(file, "utf8"))
  if (read === undefined) throw new Error(`${file} is empty`)
  return read
}

/** `/a/{b}` as a pattern, and how much of it is the path itself. */
const patternOf = (template: string) => {
  const segments = template
    .split("/")
    .map((segment) =>
      segment === "{path}"
        ? ".*"
        : segment.startsWith("{")
          ? "[^/]+"
          : segment.replace(/[.*+?^$()|[\]\\]/g, "\\$&")
    )
  return { pattern: new RegExp(`^${segments.join("/")}$`), concrete: template.split("{").length }
}

const operationAt = (method: string, path: string) => {
  const [best] = Object.entries(description().paths)
    .map(([template, operations]) => ({ ...patternOf(template), operations }))
    .filter(({ pattern }) => pattern.test(path))
    .sort((one, other) => one.concrete - other.concrete)
  return best?.operations[method.toLowerCase()]
}

/** No answer, or what node answers before there is a request that the API could see. */
const beforeTheApi: ReadonlySet<number> = new Set([0, 100, 408, 431])

/** Throws where the description knows this operation, and not that it is answered with this status. */
export const checkStatus = (method: string, url: string, status: number): void => {
  const path = /^https?:\/\/[^/]+(?:\/rudder\/relay-api(?:\/1)?)?(\/[^?]*)/.exec(url)?.[1]
  const operation = path === undefined ? undefined : operationAt(method, path)
  if (operation === undefined || beforeTheApi.has(status)) return
  const range = `${Math.floor(status / 100)}XX`
  if (!(String(status) in operation.responses || range in operation.responses))
    throw new Error(`${method} ${url} was answered with ${status}, which the API's description does not say`)
}

const withBody = /^(?:-d|--data.*|-F|--form)$/

/** The method and the address of a call by curl. */
export const curlRequest = (args: ReadonlyArray<string>) => {
  const after = (...names: ReadonlyArray<string>) => args[args.findIndex((arg) => names.includes(arg)) + 1]
  const has = (...names: ReadonlyArray<string>) => args.some((arg) => names.includes(arg))
  const method = has("-X", "--request")
    ? after("-X", "--request")
    : has("-I", "--head")
      ? "HEAD"
      : has("-T", "--upload-file")
        ? "PUT"
        : args.some((arg) => withBody.test(arg)) && !has("-G")
          ? "POST"
          : "GET"
  return { method: method ?? "GET", urls: args.filter((arg) => /^https?:\/\//.test(arg)) }
}
