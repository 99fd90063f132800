/** The outbox as an administrator sees it: `system/outbox`, and its folder. */
import { readdirSync } from "node:fs"
import { join } from "node:path"
import { curl, type Relay } from "./Program.ts"

export interface Entry {
  readonly id: string
  readonly target: string
  readonly source: string
  readonly file_id: string
  readonly state: "waiting" | "sending" | "refused"
  readonly size: number
  readonly attempts: number
  readonly last_error: string | null
  readonly next_try: string | null
}

const call = async (relay: Relay, path: string, ...options: ReadonlyArray<string>) => {
  const { status, body } = await curl("-k", ...options, `${relay.url}/1/system/${path}`)
  if (status !== 200) throw new Error(`${path}: ${status} ${body}`)
  return JSON.parse(body).data
}

/** Newest first. */
export const entriesOf = async (relay: Relay): Promise<ReadonlyArray<Entry>> =>
  (await call(relay, "outbox")).entries

export const amountOf = async (
  relay: Relay
): Promise<{ readonly waiting: number; readonly refused: number }> => (await call(relay, "status")).outbox

/** Tries all now; gives how many there are. */
export const retryAll = async (relay: Relay): Promise<number> =>
  (await call(relay, "outbox/retry", "-X", "POST")).entries

/** What is left on the disk of entries, and of what was on its way in or out. */
export const leftOnDisk = ({ directory }: Relay): ReadonlyArray<string> =>
  ["entries", "~tmp"].flatMap((folder) =>
    readdirSync(join(directory, "outbox", folder), { recursive: true })
      .map(String)
      // The folders of shards stay.
      .filter((name) => !/^[0-9a-f]{3}$/.test(name))
  )
