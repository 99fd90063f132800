/** Files of which a version is being sent, and those who wait for what becomes of an entry. */
import { Deferred, Effect, FiberId } from "effect"
import type { Verdict } from "./Attempt.ts"
import * as EntryName from "./EntryName.ts"

type Entry = EntryName.EntryName

/** What somebody who waits for an entry is told: what became of an attempt, or that an administrator gave it up. */
export type Notice = Verdict | { readonly _tag: "Deleted" }

/** A file of which a version is being sent, and no other meanwhile. */
export interface Flight {
  /** That version's order; undefined while none is chosen. */
  current: string | undefined
  /** That version is not to be sent any more. */
  isStopped: boolean
  /** Ends its sending, if that is under way. */
  stop: () => void
  /** Somebody wanted to try this file meanwhile. */
  missed: boolean
}

/** What is under way. */
export interface Flights {
  /** By the file's key. */
  readonly files: Map<string, Flight>
  /** By the entry's id. */
  readonly listeners: Map<string, Deferred.Deferred<Notice>>
}

/** Nothing is under way yet. */
export const make = (): Flights => ({ files: new Map(), listeners: new Map() })

/** A flight that begins: no version is chosen yet. */
export const begin = ({ files }: Flights, key: string): Flight => {
  const flight: Flight = { current: undefined, isStopped: false, stop: () => {}, missed: false }
  files.set(key, flight)
  return flight
}

const nothing = () => {}

/** A flight that is over. It holds nothing of what was sent: what a `Map` has had is kept alive (`Bag`). */
export const end = ({ files }: Flights, key: string, flight: Flight): void => {
  files.delete(key)
  flight.stop = nothing
}

/** Whether this very version is being sent. */
export const isSending = ({ files }: Flights, { key, order }: Entry): boolean =>
  files.get(key)?.current === order

/** What the entry's next notice is, from now on. */
export const listen = ({ listeners }: Flights, entry: Entry): Effect.Effect<Effect.Effect<Notice>> =>
  Effect.sync(() => {
    const listener = Deferred.unsafeMake<Notice>(FiberId.none)
    listeners.set(EntryName.idOf(entry), listener)
    return Deferred.await(listener)
  })

/** Nobody waits for the entry any more. */
export const unlisten = ({ listeners }: Flights, entry: Entry): Effect.Effect<void> =>
  Effect.sync(() => listeners.delete(EntryName.idOf(entry)))

/** Tells who waits for an entry, if somebody does. */
export const notify = ({ listeners }: Flights, entry: Entry, notice: Notice): void => {
  const listener = listeners.get(EntryName.idOf(entry))
  if (listener !== undefined) Deferred.unsafeDone(listener, Effect.succeed(notice))
}

/** The entry is no longer there: who waits for it learns why, and its sending, if it is being sent, stops. */
export const ended = (flights: Flights, entry: Entry, notice: Notice): Effect.Effect<void> =>
  Effect.sync(() => {
    notify(flights, entry, notice)
    const flight = flights.files.get(entry.key)
    if (flight === undefined || flight.current !== entry.order) return
    flight.isStopped = true
    flight.stop()
  })
