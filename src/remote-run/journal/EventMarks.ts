/**
 * Marks in a run's journal: how many events are before a place. Who asks for what follows the first n events has the
 * journal searched from the nearest mark on, which leaves marks on the way: callers who ask one after the other read the
 * journal once between them.
 */
import type { RunId } from "../RunId.ts"

/** A place between two records. */
export interface EventMark {
  /** How many events of ndjson are before it. */
  readonly events: number
  /** Bytes from the journal's beginning. */
  readonly offset: number
}

const start: EventMark = { events: 0, offset: 0 }

/** Of one journal. */
const mostMarks = 64

/** The marks of one journal. */
export class EventMarks {
  private marks: Array<EventMark> = []

  /** The last mark before which there are no more than so many events. */
  before(events: number): EventMark {
    return this.marks.findLast((mark) => mark.events <= events) ?? start
  }

  /** Leaves a mark. Where there are too many, every other one goes. */
  leave(mark: EventMark): void {
    const at = this.marks.findLastIndex(({ offset }) => offset <= mark.offset)
    if (this.marks[at]?.offset === mark.offset) return
    this.marks.splice(at + 1, 0, mark)
    const last = this.marks.length - 1
    if (last >= mostMarks) this.marks = this.marks.filter((_, index) => (last - index) % 2 === 0)
  }
}

/** Of so many runs marks are kept. */
const mostRuns = 64

/** The marks of the runs that were asked for last. */
export class MarkedRuns {
  private readonly runs = new Map<RunId, EventMarks>()

  of(id: RunId): EventMarks {
    const marks = this.runs.get(id) ?? new EventMarks()
    this.runs.delete(id)
    this.runs.set(id, marks)
    const [oldest] = this.runs.keys()
    if (this.runs.size > mostRuns && oldest !== undefined) this.runs.delete(oldest)
    return marks
  }
}
