/** A terminal for a program: a tmux server of its own, without anybody's configuration. */
import { spawnSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { until } from "../../support/Until.ts"

/** A program in a terminal. */
export interface Terminal {
  /** What is on the screen now; with `all`, what has left it at its top too. */
  readonly text: (all?: boolean) => string
  /** The same, with codes for colours. */
  readonly colours: () => string
  /** Keys as tmux names them: `C-c`. */
  readonly press: (...keys: ReadonlyArray<string>) => void
  /** Waits until the screen says this, and gives all that was said. */
  readonly shows: (what: RegExp, seconds?: number) => Promise<string>
}

/** Folders, each with the socket of a server. */
const running = new Set<string>()

const socketIn = (folder: string) => join(folder, "socket")

const tmux = (folder: string, ...args: ReadonlyArray<string>): string => {
  const { status, stdout, stderr } = spawnSync("tmux", ["-S", socketIn(folder), "-f", "/dev/null", ...args], {
    encoding: "utf8",
    env: { ...process.env, LC_ALL: "C.UTF-8", TERM: "xterm-256color", TMUX: "" }
  })
  if (status !== 0) throw new Error(`tmux ${args.join(" ")}: ${stderr}`)
  return stdout
}

const quoted = (word: string) => `'${word.replaceAll("'", "'\\''")}'`

/**
 * Starts a program in a terminal of this size. When it has ended, the screen says `ended with CODE`; the terminal stays
 * until `endTerminals`.
 */
export const terminal = (
  words: ReadonlyArray<string>,
  {
    columns = 100,
    rows = 24,
    env = {}
  }: {
    readonly columns?: number
    readonly rows?: number
    readonly env?: Readonly<Record<string, string>>
  } = {}
): Terminal => {
  const folder = mkdtempSync(join(tmpdir(), "rudder-relay-terminal-"))
  running.add(folder)
  const set = Object.entries(env).map(([name, value]) => `${name}=${value}`)
  const line = ["env", "-u", "NO_COLOR", ...set, ...words].map(quoted).join(" ")
  const size = ["-x", String(columns), "-y", String(rows)]
  tmux(folder, "new-session", "-d", ...size, `${line}; echo "ended with $?"; exec sleep 1000`)
  const text = (all = false) => tmux(folder, "capture-pane", "-p", "-J", ...(all ? ["-S", "-"] : []))
  return {
    text,
    colours: () => tmux(folder, "capture-pane", "-p", "-e", "-S", "-"),
    press: (...keys) => void tmux(folder, "send-keys", ...keys),
    shows: (what, seconds = 60) =>
      until(`the screen says ${what}`, () => (what.test(text(true)) ? text(true) : undefined), seconds).catch(
        (error) => {
          throw new Error(`${error}; it says:\n${text(true)}`)
        }
      )
  }
}

/** Ends all of them, with what runs in them. */
export const endTerminals = (): void => {
  for (const folder of running) {
    spawnSync("tmux", ["-S", socketIn(folder), "kill-server"], { stdio: "ignore" })
    rmSync(folder, { recursive: true, force: true })
  }
  running.clear()
}
