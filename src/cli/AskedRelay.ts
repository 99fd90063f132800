/** The relay that a command asks, as its options say. */
import { readFile } from "node:fs/promises"
import { createSecureContext } from "node:tls"
import { HttpClient } from "@effect/platform"
import { Effect, Layer, Option } from "effect"
import * as ClientConnection from "../client/ClientConnection.ts"
import { RelayClient } from "../client/RelayClient.ts"
import { type ClientOptions, defaultUrl } from "./ClientOptions.ts"
import * as Patience from "./Patience.ts"
import { quoted } from "./ShellWord.ts"
import { type StartError, wrongCall } from "./StartError.ts"

/** Which relay is asked: its address, as the command line or the environment says it. Fails where that is none. */
export const urlOf = ({ url }: Pick<ClientOptions, "url">): Effect.Effect<string, StartError> => {
  const given = Option.getOrElse(url, () => process.env.RUDDER_RELAY_URL || defaultUrl)
  const source = Option.isSome(url) ? "--url" : "RUDDER_RELAY_URL"
  const parsed = URL.canParse(given) ? new URL(given) : undefined
  const isAddress = parsed !== undefined && /^https?:$/.test(parsed.protocol)
  // Not shown: who says a password doesn't expect it in a log. Relays know their callers by certificates.
  if (isAddress && `${parsed.username}${parsed.password}` !== "")
    return Effect.fail(wrongCall(`${source}: expected an address without user and password; see --cert`))
  if (!isAddress || parsed.search !== "" || parsed.hash !== "")
    return Effect.fail(
      wrongCall(
        `${source}: expected an address such as ${defaultUrl} or https://relay.example.com, got ${JSON.stringify(given)}`
      )
    )
  return Effect.succeed(`${parsed.origin}${parsed.pathname}`.replace(/\/+$/, ""))
}

/** What another command of this program is called with besides, behind a space, to ask the same relay in the same way. */
export const wordsOf = ({ url, cacert, cert, certKey }: ClientOptions): string =>
  Object.entries({ url, cacert, cert, "cert-key": certKey })
    .map(([name, said]) =>
      Option.match(said, { onNone: () => "", onSome: (word) => ` --${name} ${quoted(word)}` })
    )
    .join("")

const read = (name: string, path: Option.Option<string>): Effect.Effect<string | undefined, StartError> =>
  Option.match(path, {
    onNone: () => Effect.succeed(undefined),
    onSome: (named) =>
      Effect.tryPromise({
        try: () => readFile(named, "utf8"),
        catch: (cause) => wrongCall(`--${name}: ${cause instanceof Error ? cause.message : String(cause)}`)
      }).pipe(
        // Node takes no text for none given.
        Effect.filterOrFail(
          (text) => text !== "",
          () => wrongCall(`--${name}: ${named} is empty`)
        )
      )
  })

/** Whether TLS takes it, said before it is needed and by the option's name. */
const checked = (
  names: string,
  parts: { readonly ca?: string; readonly cert?: string; readonly key?: string }
) =>
  Effect.try({
    try: () => void createSecureContext(parts),
    catch: (cause) => wrongCall(`${names}: ${cause instanceof Error ? cause.message : String(cause)}`)
  })

const connection = (given: ClientOptions) =>
  Effect.gen(function* () {
    if (Option.isSome(given.cert) !== Option.isSome(given.certKey))
      return yield* wrongCall("--cert and --cert-key are said together, or neither")
    const trusted = yield* read("cacert", given.cacert)
    const cert = yield* read("cert", given.cert)
    const key = yield* read("cert-key", given.certKey)
    if (trusted !== undefined) {
      if (!trusted.includes("-----BEGIN CERTIFICATE-----"))
        return yield* wrongCall("--cacert: expected certificates in PEM")
      yield* checked("--cacert", { ca: trusted })
    }
    if (cert !== undefined && key !== undefined) yield* checked("--cert, --cert-key", { cert, key })
    return {
      ...(trusted === undefined ? {} : { trusted }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key })
    }
  })

/** The client of the relay that the options name. Fails, with code 2, where they can't be followed. */
export const layer = (given: ClientOptions): Layer.Layer<RelayClient, StartError> =>
  Layer.unwrapEffect(
    Effect.gen(function* () {
      const url = yield* urlOf(given)
      const patient = Layer.effect(HttpClient.HttpClient, Effect.map(HttpClient.HttpClient, Patience.limited))
      return RelayClient.layer({ url }).pipe(
        Layer.provide(patient),
        Layer.provide(ClientConnection.layer(yield* connection(given)))
      )
    })
  )
