/** What a piece of a test asks of the machine: files, sockets, processes and threads, whoever asks for them and how. */
import { AsyncLocalStorage, createHook } from "node:async_hooks"
import { FileSystem } from "@effect/platform"
import { Effect, Layer } from "effect"

/** What node calls the things that are made when somebody goes to the disk, the network, a process or a thread. */
const ofTheMachine = new Set([
  ...["FSREQCALLBACK", "FSREQPROMISE", "FILEHANDLE", "FSEVENTWRAP", "STATWATCHER", "DIRHANDLE"],
  ...["TCPWRAP", "TCPSERVERWRAP", "TCPCONNECTWRAP", "PIPEWRAP", "UDPWRAP", "GETADDRINFOREQWRAP"],
  ...["PROCESSWRAP", "WORKER"]
])

/** Runs, and gives by node's names what it asked of the machine. What others do at this time does not count. */
export const touchedBy = async (run: () => Promise<unknown>): Promise<ReadonlyArray<string>> => {
  const touched: Array<string> = []
  const here = new AsyncLocalStorage<true>()
  const hook = createHook({
    init: (_, type) => {
      if (ofTheMachine.has(type) && here.getStore() === true) touched.push(type)
    }
  })
  hook.enable()
  try {
    await here.run(true, run)
  } finally {
    hook.disable()
  }
  return touched
}

const untouchable = (method: string) => (path: unknown) =>
  Effect.die(new Error(`${method} of the file system was asked for: ${String(path)}`))

/** A file system that nobody is to use: whoever does has a defect. */
export const noFiles = Layer.sync(FileSystem.FileSystem, () => {
  const none = FileSystem.makeNoop({})
  const dying = Object.keys(none).map((method) => [method, untouchable(method)] as const)
  // The same methods, none of which gives anything.
  return { ...none, ...Object.fromEntries(dying) }
})
