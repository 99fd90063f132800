/** One file, shared by one simulated node with another, and how to do the same by hand. */
import type { KeyObject } from "node:crypto"
import { FetchHttpClient } from "@effect/platform"
import { Effect, Stream } from "effect"
import { make as makeRelayClient } from "../../client/RelayClient.ts"
import { exitCode, StartError } from "../StartError.ts"
import { fileOf } from "./Keys.ts"

/** Who shares it. */
export const source = "web1"
const target = "db1"
const content = "db1: web1 is in the new rack from today on.\n"

/** Shares it over HTTP, as an agent does; gives what became of it. */
export const share = (url: string, key: KeyObject) =>
  Effect.flatMap(makeRelayClient({ url }), (client) =>
    client.share({
      source,
      target,
      fileId: "note",
      key,
      content: Stream.make(Buffer.from(content)),
      ttl: "1d"
    })
  ).pipe(
    Effect.map((shared) => JSON.stringify(shared)),
    Effect.mapError(
      ({ message }) =>
        new StartError({ code: exitCode.start, message: `no file could be shared: ${message}` })
    ),
    Effect.provide(FetchHttpClient.layer)
  )

/** What the sandbox prints of the file that it shared. `answer` is the body of the answer. */
export const shown = (directory: string, answer: string) => `
And ${source} shared a file with ${target}, signed with its key (HEAD asks for it, POST sends it):
${answer}
and it is in ${directory}/shared-files/${target}/files/${source}/note, with its metadata beside it.
`

/** Lines that do the same when they are pasted. */
export const byHand = (directory: string, url: string) => {
  const key = fileOf(directory, source)
  const file = `${directory}/hello`
  return `To share a file by hand (openssl signs, curl sends and asks):
  echo "hello from ${source}" > '${file}'
  SIGNATURE=$(openssl dgst -sha512 -sign '${key}' '${file}' | openssl base64 -A | tr '+/' '-_')
  KEY=$(openssl rsa -in '${key}' -RSAPublicKey_out -outform DER 2>/dev/null | openssl base64 -A | tr '+/' '-_')
  curl -s -X POST -T '${file}' "${url}/shared-files/node/${target}/hello?source-uuid=${source}&ttl=1h&signature=$SIGNATURE&public-key=$KEY"
  curl -sI "${url}/shared-files/node/${target}/hello?source-uuid=${source}&hash=$(openssl dgst -sha512 -r '${file}' | cut -d' ' -f1)"
`
}
