/** The forms by which a sub-relay is asked to run nodes: one, or as many as a form's bound of 1 MiB asks for. */
import { maxFormLength } from "../../http/FormBody.ts"

/** One call. */
export interface RunForm {
  readonly nodes: ReadonlyArray<string>
  /** `application/x-www-form-urlencoded` */
  readonly body: string
}

const encode = (nodes: ReadonlyArray<string>, classes: ReadonlyArray<string>): string =>
  new URLSearchParams({
    nodes: nodes.join(","),
    classes: classes.join(","),
    asynchronous: "true",
    keep_output: "true"
  }).toString()

/** Every node in one of the forms, in their order. */
export const make = (
  nodes: ReadonlyArray<string>,
  classes: ReadonlyArray<string>
): ReadonlyArray<RunForm> => {
  const room = maxFormLength - encode([], classes).length
  const groups: Array<Array<string>> = []
  let left = 0
  for (const node of nodes) {
    // Ids are not changed by the encoding; the comma before one takes three bytes.
    const length = node.length + 3
    if (length > left) {
      groups.push([])
      left = room
    }
    groups.at(-1)?.push(node)
    left -= length
  }
  return groups.map((group) => ({ nodes: group, body: encode(group, classes) }))
}
