/** What of the daemon's environment an agent gets: all but what was meant for the daemon alone. */

/** What a service manager tells the one process that it starts, as `systemd.exec` and `sd_notify` have it. */
const ofTheService: ReadonlySet<string> = new Set([
  "NOTIFY_SOCKET",
  "NOTIFY_ACCESS",
  "LISTEN_PID",
  "LISTEN_PIDFDID",
  "LISTEN_FDS",
  "LISTEN_FDNAMES",
  "FDSTORE",
  "WATCHDOG_PID",
  "WATCHDOG_USEC",
  "INVOCATION_ID",
  "DEBUG_INVOCATION",
  "JOURNAL_STREAM",
  "LOG_NAMESPACE",
  "MAINPID",
  "MAINPIDFDID",
  "MANAGERPID",
  "MANAGERPIDFDID",
  "PIDFILE",
  "SYSTEMD_EXEC_PID",
  "SERVICE_RESULT",
  "EXIT_CODE",
  "EXIT_STATUS",
  "REMOTE_ADDR",
  "REMOTE_PORT",
  "RUNTIME_DIRECTORY",
  "STATE_DIRECTORY",
  "CACHE_DIRECTORY",
  "LOGS_DIRECTORY",
  "CONFIGURATION_DIRECTORY",
  "CREDENTIALS_DIRECTORY"
])

/** Families of such names. The first is the relay's own settings, which may hold more than an agent should know. */
const prefixes = ["RUDDER_RELAY_", "MEMORY_PRESSURE_", "MONITOR_", "TRIGGER_"]

/** How many threads node has for the disk: `main.ts` says that where nobody else has. */
const ofTheProcess = "UV_THREADPOOL_SIZE"

const isTheDaemons = (name: string): boolean =>
  name === ofTheProcess || ofTheService.has(name) || prefixes.some((prefix) => name.startsWith(prefix))

/** An agent's part of the daemon's environment. */
export const of = (environment: Readonly<Record<string, string | undefined>>): Record<string, string> => {
  const kept: Record<string, string> = {}
  for (const [name, value] of Object.entries(environment))
    if (value !== undefined && !isTheDaemons(name)) kept[name] = value
  return kept
}
