/** The forms by which a sub-relay is asked to run nodes: one, or as many as a form's bound of 1 MiB asks for. */
import { maxFormLength } from "../../http/FormBody.ts"
import type { SubRelayOrder } from "./SubRelays.ts"

/** One call. */
export interface RunForm {
  readonly nodes: ReadonlyArray<string>
  /** `application/x-www-form-urlencoded` */
  readonly body: string
}

const encode = (
  nodes: ReadonlyArray<string>,
  classes: ReadonlyArray<string>,
  { actor, reason }: NonNullable<SubRelayOrder["by"]>
): string =>
  new URLSearchParams({
    nodes: nodes.join(","),
    classes: classes.join(","),
    asynchronous: "true",
    keep_output: "true",
    ...(actor === undefined ? {} : { actor }),
    ...(reason === undefined ? {} : { reason })
  }).toString()

/** Every node in one of the forms, in their order. */
export const make = (
  nodes: ReadonlyArray<string>,
  classes: ReadonlyArray<string>,
  by: SubRelayOrder["by"] = {}
): ReadonlyArray<RunForm> => {
  const room = maxFormLength - encode([], classes, by).length
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
  return groups.map((group) => ({ nodes: group, body: encode(group, classes, by) }))
}
