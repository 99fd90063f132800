/** What every command that asks a relay is told: which relay, and by which certificates it is known. */
import { Options } from "@effect/cli"
import type { Option } from "effect"

/** The relay on this machine, where Rudder has it. */
export const defaultUrl = "http://127.0.0.1:3030"

const file = (name: string, description: string) =>
  Options.text(name).pipe(
    Options.withDescription(description),
    Options.withPseudoName("FILE"),
    Options.optional
  )

/** The options by which a command's relay is said; `AskedRelay` takes what they say. */
export const options = {
  url: Options.text("url").pipe(
    Options.withDescription(`The relay's address; else RUDDER_RELAY_URL says it, else it is ${defaultUrl}`),
    Options.withPseudoName("URL"),
    Options.optional
  ),
  cacert: file(
    "cacert",
    "Certificates, in PEM, by which the relay is trusted: its own, or its authority's; without it, the public ones"
  ),
  cert: file("cert", "A certificate, in PEM, by which the relay knows the caller"),
  certKey: file("cert-key", "Its secret key, in PEM")
}

/** For commands that print a table. */
export const json = Options.boolean("json").pipe(
  Options.withDescription("Print what the relay answers, as JSON, in place of a table")
)

/** What those options say. */
export interface ClientOptions {
  readonly url: Option.Option<string>
  readonly cacert: Option.Option<string>
  readonly cert: Option.Option<string>
  readonly certKey: Option.Option<string>
}
