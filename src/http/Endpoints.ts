/** The endpoints of an API. */
import { HttpApi, type HttpApiEndpoint, type HttpApiGroup } from "@effect/platform"

/** An endpoint, and the group that it is in. */
export interface Member {
  readonly endpoint: HttpApiEndpoint.HttpApiEndpoint.AnyWithProps
  readonly group: HttpApiGroup.HttpApiGroup.AnyWithProps
}

/** All of them, in their order. */
export const of = <Id extends string, Groups extends HttpApiGroup.HttpApiGroup.Any, E, R>(
  api: HttpApi.HttpApi<Id, Groups, E, R>
): ReadonlyArray<Member> => {
  const members: Array<Member> = []
  HttpApi.reflect(api, {
    // None is wanted of those that were seen: the platform would look at all that each may answer, for 5 % of a start.
    predicate: (member) => {
      members.push(member)
      return false
    },
    onGroup: () => {},
    onEndpoint: () => {}
  })
  return members
}
