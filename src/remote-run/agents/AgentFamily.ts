/** The processes of one agent: the one that the relay started, and all that come from it. */
import { find, type Process, type ProcessTable } from "./ProcessTable.ts"

export interface AgentFamily {
  /** The process that the relay started, in a session and group of its own; undefined where it is not known which. */
  readonly leader: number | undefined
  /** A value in the environment of every member that did not drop it: finds members that left parent and session. */
  readonly cookie: string
  /** A core dump filter that every member inherits: finds members where their environments can't be read. */
  readonly mark: number | undefined
  /** No member that has but the mark is older. Clock ticks since boot. */
  readonly since: number
  /** True once the leader has been waited for; its process id may then be somebody else's. */
  readonly exited: () => boolean
  /** It is being ended: until that is done it is looked for, also when its agent is over meanwhile. */
  isEnding?: boolean
  /** Those alive when last looked. */
  members: ReadonlyMap<number, Process>
  /** Their sessions. Never the relay's own: an agent's leader starts a new one. */
  sessions: ReadonlySet<number>
}

/**
 * The family of a process that has just been started. Only where it has a mark is the process looked at, which costs as
 * much as its start: until the leader has been waited for, its number is nobody else's.
 */
export const make = (options: Pick<AgentFamily, "leader" | "cookie" | "mark" | "exited">): AgentFamily => {
  const { leader, cookie, mark, exited } = options
  const seen = leader === undefined || mark === undefined ? undefined : find(leader)
  return {
    leader,
    cookie,
    mark,
    exited,
    since: seen?.start ?? 0,
    members: new Map(),
    sessions: new Set(leader === undefined ? [] : [leader])
  }
}

/** What a process has on it that says whose it is. */
export interface Traces {
  readonly cookie: string | undefined
  readonly mark: number | undefined
}

/**
 * How many of them are left, as far as is known. A leader that nothing can be seen of counts until it has exited; one that
 * is seen to be dead does not, though what has started it does not say so.
 */
export const left = (family: AgentFamily): number =>
  family.members.size > 0 ? family.members.size : family.exited() || isDead(family.leader) ? 0 : 1

const isDead = (leader: number | undefined): boolean => leader !== undefined && find(leader)?.zombie === true

/**
 * Says whose each process is: a member's by identity, by cookie or mark, by its parent, or by its session. Where a
 * session's leader is alive and a stranger, the number has been used again and the session is not the family's.
 */
export const attribute = (
  table: ProcessTable,
  families: Iterable<AgentFamily>,
  tracesOf: (process: Process) => Traces
): ReadonlyMap<AgentFamily, ReadonlyArray<Process>> => {
  const byMember = new Map<number, AgentFamily>()
  const byLeaderId = new Map<number, AgentFamily>()
  const byCookie = new Map<string, AgentFamily>()
  const byMark = new Map<number, AgentFamily>()
  const bySession = new Map<number, AgentFamily>()
  const found = new Map<AgentFamily, Array<Process>>()
  for (const family of families) {
    found.set(family, [])
    byCookie.set(family.cookie, family)
    if (family.mark !== undefined) byMark.set(family.mark, family)
    if (family.leader !== undefined && !family.exited()) byLeaderId.set(family.leader, family)
    for (const pid of family.members.keys()) byMember.set(pid, family)
    for (const session of family.sessions) bySession.set(session, family)
  }

  const byIdentity = ({ pid, start }: Process) => {
    const family = byMember.get(pid)
    if (family === undefined) return byLeaderId.get(pid)
    return family.members.get(pid)?.start === start ? family : undefined
  }
  const byTraces = (process: Process) => {
    const { cookie, mark } = tracesOf(process)
    const marked = mark === undefined ? undefined : byMark.get(mark)
    const cookied = cookie === undefined ? undefined : byCookie.get(cookie)
    return cookied ?? (marked !== undefined && process.start >= marked.since ? marked : undefined)
  }
  const byParent = (process: Process) => {
    const parent = table.get(process.parent)
    return parent !== undefined && parent.start <= process.start ? ownerOf(parent) : undefined
  }
  const byLeader = (process: Process) => {
    const family = bySession.get(process.session)
    // Nobody's session: whose its leader is would be asked in vain, and where that closes a circle, answered wrongly.
    if (family === undefined) return undefined
    const leader = table.get(process.session)
    const same = leader === undefined || (leader !== process && ownerOf(leader) === family)
    return same ? family : undefined
  }
  const owners = new Map<Process, AgentFamily | undefined>()
  const ownerOf = (process: Process): AgentFamily | undefined => {
    if (owners.has(process)) return owners.get(process)
    // Also ends the circle that a table could hold that was read while processes come and go.
    owners.set(process, undefined)
    const owner = byIdentity(process) ?? byTraces(process) ?? byParent(process) ?? byLeader(process)
    owners.set(process, owner)
    return owner
  }

  for (const process of table.values()) {
    const owner = ownerOf(process)
    if (owner !== undefined) found.get(owner)?.push(process)
  }
  return found
}
