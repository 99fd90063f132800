/**
 * What holds from the first moment of the process to its last: neither a SIGHUP nor a reader of our output that went away
 * ends it, and no signal opens it to others. It imports nothing, since that would take a moment.
 */

/** What a SIGHUP is answered with now; before anything is there to be loaded again, it is kept for later. */
let react: (() => void) | undefined
let kept = false

const onHangup = (): void => {
  if (react === undefined) kept = true
  else react()
}

/** Ends at once: nothing has been begun yet that would have to be ended. */
const endAtOnce = (): void => process.exit(0)

process.on("SIGHUP", onHangup)
// Node would open its debugger, a port of the machine at which any of its users may have this process run code.
process.on("SIGUSR1", () => {})
for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, endAtOnce)
// Each write that fails is told here, and the next is tried again: the disk may have room by then.
for (const output of [process.stdout, process.stderr]) output.on("error", () => {})

/** From now on others answer SIGTERM and SIGINT. */
export const handOver = (): void => {
  for (const signal of ["SIGTERM", "SIGINT"]) process.off(signal, endAtOnce)
}

/** What does not serve ends with its terminal, as other commands do. */
export const endOnHangup = (): void => {
  process.off("SIGHUP", onHangup)
  if (kept) process.kill(process.pid, "SIGHUP")
}

/** From now on a SIGHUP does this; one that has come before does it now. */
export const onEachHangup = (next: () => void): void => {
  react = next
  if (!kept) return
  kept = false
  next()
}

let terminated: (() => void) | undefined

/** From now on each SIGTERM does this too, and ends nothing of itself, whoever else answers it or no longer does. */
export const onEachTermination = (next: () => void): void => {
  if (terminated === undefined) process.on("SIGTERM", () => terminated?.())
  terminated = next
}
