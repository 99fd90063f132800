/** One file, shared by one simulated node with another, and how to do the same by hand. */
import { createPublicKey, type KeyObject, sign } from "node:crypto"
import { Effect } from "effect"
import { exitCode, StartError } from "../StartError.ts"
import { fileOf } from "./Keys.ts"

/** Who shares it. */
export const source = "web1"
const target = "db1"
const content = "db1: web1 is in the new rack from today on.\n"

/** Shares it over HTTP, as an agent does; gives the relay's answer. */
export const share = (url: string, key: KeyObject) => {
  const parameters = new URLSearchParams({
    "source-uuid": source,
    ttl: "1d",
    signature: sign("sha512", Buffer.from(content), key).toString("hex"),
    "public-key": createPublicKey(key).export({ type: "pkcs1", format: "der" }).toString("base64")
  })
  return Effect.tryPromise({
    try: async () => {
      const answer = await fetch(`${url}/shared-files/node/${target}/note?${parameters}`, {
        method: "POST",
        body: content
      })
      return (await answer.text()).trim()
    },
    catch: (cause) =>
      new StartError({ code: exitCode.start, message: `no file could be shared: ${String(cause)}` })
  })
}

/** What the sandbox prints of the file that it shared. `answer` is the body of the answer. */
export const shown = (directory: string, answer: string) => `
And ${source} shared a file with ${target}, signed with its key: POST shared-files/node/${target}/note answered
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
