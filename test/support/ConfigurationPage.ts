/** `docs/configuration.md`, made from the settings' schema. */
import type { Key } from "../../src/config/Setting.ts"

const head = `# Configuration

\`rudder-relay serve --config DIR\` reads \`DIR/main.conf\`, in TOML; \`rudder-relay check --config DIR\` says everything that is
wrong with it. Any key can be set by an environment variable, which counts before the file: \`remote_run.max_concurrent\` is
\`RUDDER_RELAY_REMOTE_RUN__MAX_CONCURRENT\`, and lists are separated by commas there.

Durations are \`"10s"\`, \`"5min"\`, \`"1h 30m"\`, or a number of seconds; sizes are \`"50MiB"\` or a number of bytes. A relative path is
meant from the folder that the daemon was started in. Keys that Rudder's own relay has and this one has no use for are
ignored; others that are unknown are named in a warning, with the nearest known one. SIGHUP takes \`log.level\` again, and what is
in the files that other keys name; a key that changed otherwise waits for a restart, which the log and \`system/status\` say.

`

const cell = (text: string): string => text.replaceAll("|", "\\|")

const code = (text: string): string => (text === "–" ? text : `\`${text}\``)

/** Keys, as they are read, expected values and all. */
export const page = (keys: ReadonlyArray<Key>): string => {
  const rows = keys.map(
    ({ doc, expected, fallback, key }) =>
      `| ${code(key)} | ${cell(fallback.includes(" ") ? fallback : code(fallback))} | ${cell(expected)} | ${cell(doc)} |`
  )
  return `${head}| key | default | value | |\n|---|---|---|---|\n${rows.join("\n")}\n`
}
