/** What the help of a command says besides what the command itself knows: examples, environment, exit codes. */
import type { CommandTree } from "./CommandTree.ts"

/** What is said of one command. */
export interface HelpText {
  /** Behind its description. */
  readonly more?: ReadonlyArray<string>
  /** A command line, and what it is for. */
  readonly examples: ReadonlyArray<readonly [line: string, meaning: string]>
  /** What exit code 1 means, where it is an answer. */
  readonly no?: string
}

const run = "019b8d1c-26"

/** By the path of the command, with spaces; the program itself is the empty one. */
const texts: Readonly<Record<string, HelpText>> = {
  "": {
    more: [
      "Without a command it serves, as serve does. The other commands ask a relay that runs, here or elsewhere."
    ],
    examples: [
      ["rudder-relay sandbox", "See what it does, with simulated agents:"],
      [
        "rudder-relay check -c /opt/rudder/etc/relayd",
        "Try a configuration, and say all that is wrong with it:"
      ],
      ["rudder-relay status", "Ask the relay of this machine how it is:"],
      [". <(rudder-relay --completions bash)", "Complete command lines in this shell:"]
    ]
  },
  serve: {
    examples: [["rudder-relay serve --config /opt/rudder/etc/relayd", "What the unit of the service calls:"]]
  },
  check: {
    examples: [["rudder-relay check --config /opt/rudder/etc/relayd", "Before a restart:"]]
  },
  sandbox: {
    examples: [["rudder-relay sandbox --directory /tmp/relay", "Make it in another folder:"]]
  },
  run: {
    more: ["Its id comes first: the run belongs to the relay, and goes on when this program leaves."],
    examples: [
      ["rudder-relay run web1.example.com db1.example.com", "Some nodes:"],
      [
        "rudder-relay run 'web*' --exclude web9 --view gather",
        "Many, with those that print the same in one block:"
      ],
      ["rudder-relay run @all --batch 10% --canary 2 --max-failures 5", "All, with care:"],
      [
        "rudder-relay run @run:019b8d1c-2600-7a64-9e7c-3f1f0c5f2b11:failed",
        "Those that failed in another run:"
      ]
    ],
    no: "a node did not end with code 0"
  },
  share: {
    more: [
      "The file is read twice, to sign it and to send it; it is sent only where the relay does not have it already."
    ],
    examples: [
      [
        "rudder-relay share --source web1 --target db1 --key k.pem motd",
        "Send a file to another node, under its own name:"
      ],
      ["rudder-relay share --source web1 --target db1 --key k.pem --ttl 2d motd", "For two days:"]
    ]
  },
  runs: {
    more: ["Alone it lists them. A run's id may be shortened as long as no other begins so."],
    examples: [["rudder-relay runs", "The last 50 runs:"]]
  },
  "runs list": {
    examples: [
      ["rudder-relay runs list --state running", "What goes on now:"],
      [
        "rudder-relay runs list --node web1.example.com --since 2d",
        "What was run on a node in the last two days:"
      ],
      ["rudder-relay runs list --limit 1000 --json", "For a script:"]
    ]
  },
  "runs show": {
    more: ["Nodes that are not well come last."],
    examples: [[`rudder-relay runs show ${run}`, "By the first characters of its id:"]]
  },
  "runs output": {
    more: ["From its start, and as it goes on until its end. Ctrl-C leaves it: the run goes on."],
    examples: [
      [`rudder-relay runs output ${run}`, "See it again, or as it goes on:"],
      [`rudder-relay runs output ${run} --state failed --stream stderr`, "What failed nodes said on stderr:"],
      [
        `rudder-relay runs output ${run} --format raw --node web1`,
        "Byte by byte what the agent of a node printed:"
      ]
    ],
    no: "with --view: a node did not end with code 0"
  },
  "runs retry": {
    more: ["A new run, of those nodes of the old one that are not ok, with its classes."],
    examples: [
      [`rudder-relay runs retry ${run}`, "All that are not ok:"],
      [`rudder-relay runs retry ${run} --only failed,unreported`, "Some of them:"]
    ],
    no: "a node did not end with code 0"
  },
  "runs cancel": {
    more: ["Also below other relays. What runs already on a node may go on there."],
    examples: [[`rudder-relay runs cancel ${run}`, "End its agents, and start no more:"]]
  },
  nodes: {
    more: ["Alone it lists them."],
    examples: [["rudder-relay nodes", "All of them:"]]
  },
  "nodes list": {
    examples: [
      ["rudder-relay nodes list --match 'web*.example.com'", "Those whose host name, or id, is like this:"],
      ["rudder-relay nodes list --json", "For a script:"]
    ]
  },
  "nodes show": {
    examples: [["rudder-relay nodes show web1.example.com", "By id or host name:"]]
  },
  files: {
    more: ["Alone it lists them."],
    examples: [["rudder-relay files", "All of them:"]]
  },
  "files list": {
    examples: [["rudder-relay files list --target db1", "What is there for a node:"]]
  },
  "files delete": {
    examples: [["rudder-relay files delete db1/web1/motd", "As the list names it:"]]
  },
  outbox: {
    more: ["Alone it lists them."],
    examples: [["rudder-relay outbox", "All of them, newest first:"]]
  },
  "outbox list": {
    examples: [["rudder-relay outbox list --limit 20", "The newest:"]]
  },
  "outbox retry": {
    more: ["Those that were refused too."],
    examples: [["rudder-relay outbox retry", "When the policy server is well again:"]]
  },
  "outbox delete": {
    examples: [
      [
        "rudder-relay outbox delete 019b8d1c26000000-2cf24dba5fb0a30e26e83b2ac5b9e29e",
        "By the id of the list:"
      ]
    ]
  },
  status: {
    examples: [["rudder-relay status || mail -s 'relay is not well' root", "From a timer:"]],
    no: "a part of the relay is not well"
  }
}

const nothing: HelpText = { examples: [] }

/** What is said of the command of this path. */
export const of = (path: ReadonlyArray<string>): HelpText => texts[path.join(" ")] ?? nothing

/** The paths of all commands that something is said of, as they are said. */
export const known: ReadonlyArray<string> = Object.keys(texts)

/** A name, and what it means. */
type Entry = readonly [name: string, meaning: string]

const takes = (command: CommandTree, option: string): boolean =>
  command.options.some(({ names }) => names.includes(option))

/** Whether it asks a relay. */
export const asks = (command: CommandTree): boolean => takes(command, "--url")

/** Whether it, or one below it, asks a relay. */
const mayAsk = (command: CommandTree): boolean => asks(command) || command.commands.some(mayAsk)

/** Variables that it looks at. */
export const environment = (command: CommandTree): ReadonlyArray<Entry> => [
  ...(mayAsk(command)
    ? [["RUDDER_RELAY_URL", "The relay's address where --url does not say it"] as const]
    : []),
  ...(takes(command, "--config")
    ? [
        [
          "RUDDER_RELAY_SECTION__KEY",
          "A key of main.conf, such as RUDDER_RELAY_REMOTE_RUN__MAX_CONCURRENT=8, before what the file says"
        ] as const
      ]
    : []),
  ["NO_COLOR", "Where it is set, and not empty, nothing is coloured; nothing is in a pipe either"]
]

/** How it can end. */
export const exitCodes = (path: ReadonlyArray<string>, command: CommandTree): ReadonlyArray<Entry> => {
  const { no } = of(path)
  const serves = takes(command, "--config") || takes(command, "--directory")
  return [
    ["0", no === undefined ? "Done" : "Done, and all is well"],
    ["1", no === undefined ? "A crash" : no.charAt(0).toUpperCase() + no.slice(1)],
    ["2", serves ? "The configuration or the command line can't be used" : "The command line can't be used"],
    ...(serves
      ? [["3", "It can't start: a port that is in use, a folder that can't be written"] as const]
      : []),
    ...(mayAsk(command) ? [["4", "The relay could not be asked, or refused"] as const] : [])
  ]
}
