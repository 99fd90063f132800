/** The processes of one agent: the one that the relay started, and all that come from it. */
import { find, type Process, type ProcessTable } from "./ProcessTable.ts"

export interface AgentFamily {
  /** The process that the relay started, in a session and group of its own. */
  readonly leader: number
  /** In the environment of every member that did not drop it: finds those that let go of parent and session. */
  readonly cookie: string
  /** True once the leader has been waited for; its process id may then be somebody else's. */
  readonly exited: () => boolean
  /** Those alive when last looked. */
  members: ReadonlyMap<number, Process>
  /** Their sessions. Never the relay's own: an agent's leader starts a new one. */
  sessions: ReadonlySet<number>
}

/** The family of a process that has just been started. */
export const make = (leader: number, cookie: string, exited: () => boolean): AgentFamily => {
  const process = find(leader)
  return {
    leader,
    cookie,
    exited,
    members: new Map(process === undefined ? [] : [[leader, process]]),
    sessions: new Set([leader])
  }
}

/** How many of them are left, as far as is known. A leader that nothing can be seen of counts until it has exited. */
export const left = (family: AgentFamily): number =>
  family.members.size > 0 ? family.members.size : family.exited() ? 0 : 1

/**
 * Says whose each process is: a member's by identity, by cookie, by its parent, or by its session. Where a session's
 * leader is alive and a stranger, the number has been used again and the session is not the family's.
 */
export const attribute = (
  table: ProcessTable,
  families: Iterable<AgentFamily>,
  cookieOf: (process: Process) => string | undefined
): ReadonlyMap<AgentFamily, ReadonlyArray<Process>> => {
  const byMember = new Map<number, AgentFamily>()
  const byCookie = new Map<string, AgentFamily>()
  const bySession = new Map<number, AgentFamily>()
  const found = new Map<AgentFamily, Array<Process>>()
  for (const family of families) {
    found.set(family, [])
    byCookie.set(family.cookie, family)
    for (const pid of family.members.keys()) byMember.set(pid, family)
    for (const session of family.sessions) bySession.set(session, family)
  }
  const owners = new Map<Process, AgentFamily | undefined>()

  const ownerBySession = (process: Process): AgentFamily | undefined => {
    const family = bySession.get(process.session)
    const leader = table.get(process.session)
    return family === undefined || leader === undefined || (leader !== process && ownerOf(leader) === family)
      ? family
      : undefined
  }
  const ownerOf = (process: Process): AgentFamily | undefined => {
    if (owners.has(process)) return owners.get(process)
    // Also ends the circle that a table read while processes come and go could hold.
    owners.set(process, undefined)
    const member = byMember.get(process.pid)
    const parent = table.get(process.parent)
    const owner =
      (member?.members.get(process.pid)?.start === process.start ? member : undefined) ??
      byCookie.get(cookieOf(process) ?? "") ??
      (parent !== undefined && parent.start <= process.start ? ownerOf(parent) : undefined) ??
      ownerBySession(process)
    owners.set(process, owner)
    return owner
  }

  for (const process of table.values()) {
    const owner = ownerOf(process)
    if (owner !== undefined) found.get(owner)?.push(process)
  }
  return found
}
