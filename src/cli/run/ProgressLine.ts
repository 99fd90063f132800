/** The line below a run's output on a terminal: how far it has come, and when it may end. */

/** What the line says. */
export interface Progress {
  readonly waiting: number
  readonly running: number
  readonly ok: number
  /** Whatever has ended without code 0. */
  readonly failed: number
  /** Milliseconds since the run was started. */
  readonly elapsed: number
  /** Milliseconds since the relay has said anything. */
  readonly silent: number
}

/** A relay that has nothing to tell says so every 15 s. Milliseconds. */
const longestSilence = 20_000

/** `0:07`, `12:34`, `1:02:03`. */
export const clock = (millis: number): string => {
  const seconds = Math.max(0, Math.floor(millis / 1000))
  const two = (value: number) => String(value).padStart(2, "0")
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60]
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`
}

/** How many milliseconds are left, if the nodes go on as they did; undefined before the first end, and where none is left. */
export const left = ({ waiting, running, ok, failed, elapsed }: Progress): number | undefined => {
  const ended = ok + failed
  const open = waiting + running
  return ended === 0 || open === 0 ? undefined : (elapsed * open) / ended
}

/**
 * The line, in at most so many columns: what the screen has no room for is said in fewer words, and then left out from the
 * end.
 */
export const render = (progress: Progress, width: number): string => {
  const { waiting, running, ok, failed, elapsed, silent } = progress
  if (silent > longestSilence) return fitting(silences(progress), width)
  const expected = left(progress)
  const counts = `${waiting} waiting, ${running} running, ${ok} ok, ${failed} failed`
  const forms = [
    `${counts}, ${clock(elapsed)} elapsed${expected === undefined ? "" : `, ends in about ${clock(expected)}`}`,
    `${counts}, ${clock(elapsed)}${expected === undefined ? "" : `, ends in ${clock(expected)}`}`,
    `${counts}, ${clock(elapsed)}`,
    `${waiting}w ${running}r ${ok}ok ${failed}f ${clock(elapsed)}${expected === undefined ? "" : ` -${clock(expected)}`}`
  ]
  return fitting(forms, width)
}

/** The connection is cut, or the relay is down: it is asked again meanwhile. */
const silences = ({ waiting, running, ok, failed, silent }: Progress) => [
  `no word from the relay for ${clock(silent)}; ${waiting} waiting, ${running} running, ${ok} ok, ${failed} failed`,
  `no word from the relay for ${clock(silent)}`,
  `no word for ${clock(silent)}`
]

const fitting = (forms: ReadonlyArray<string>, width: number): string =>
  forms.find((form) => form.length <= width) ?? (forms.at(-1) ?? "").slice(0, Math.max(0, width))
