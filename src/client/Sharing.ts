/** Sharing a file: sign it, ask whether the relay has it, send it where it has not. */
import { HttpBody, type HttpClient, HttpClientRequest, HttpClientResponse } from "@effect/platform"
import { Clock, type Context, Effect, Either, Option, type ParseResult, Schema, Stream } from "effect"
import type { ContentHash, HashAlgorithm } from "../disk/ContentHash.ts"
import * as RequestId from "../http/RequestId.ts"
import { NodeId } from "../NodeId.ts"
import { InvalidRequest } from "../RelayError.ts"
import { FileId, type SharedFileName } from "../shared-files/file/FileId.ts"
import { Queued, Stored } from "../shared-files/SharedFilesApi.ts"
import { type CallFailure, refused, unexpected, unreachable } from "./ClientError.ts"
import * as SignedContent from "./SignedContent.ts"

/** A file, from one node to another. */
export interface ShareRequest<E, R> {
  /** The node that sends it. */
  readonly source: string
  /** The node that it is for. */
  readonly target: string
  /** Its name among those of the source for the target. */
  readonly fileId: string
  /** The source's secret key, by which the relay knows the source: its hash, or its certificate, is known there. */
  readonly key: SignedContent.SigningKey
  /** The bytes. The stream is run twice, once to sign and once to send, and has to give the same both times. */
  readonly content: Stream.Stream<Uint8Array, E, R>
  /** How long it is kept, such as `1d 12h`; absent: for ever. */
  readonly ttl?: string
  /** Default: `sha512`. */
  readonly algorithm?: HashAlgorithm
}

/** The relay has had the file already: nothing was sent. */
export interface Present {
  readonly result: "present"
  readonly hash: string
  readonly algorithm: HashAlgorithm
  /** Bytes. */
  readonly size: number
}

/** What became of a file: it was there, it was stored, or it waits for the policy server. */
export type Shared = Present | Stored | Queued

/** Why a file was not shared. */
export type ShareFailure = CallFailure | SignedContent.UnusableKey

const invalid = (parameter: string) => (error: ParseResult.ParseError) =>
  new InvalidRequest({ parameter, message: `${parameter}: ${error.message.split("\n").at(-1)?.trim()}` })

const nameOf = ({ target, source, fileId }: ShareRequest<never, never>) =>
  Either.all({
    target: Either.mapLeft(Schema.decodeEither(NodeId)(target), invalid("target")),
    source: Either.mapLeft(Schema.decodeEither(NodeId)(source), invalid("source")),
    fileId: Either.mapLeft(Schema.decodeEither(FileId)(fileId), invalid("fileId"))
  })

const pathOf = ({ target, fileId }: SharedFileName): string =>
  `/shared-files/node/${encodeURIComponent(target)}/${encodeURIComponent(fileId)}`

/** Signs a file, asks for it and sends it when needed. `client` puts the API's base before each path. */
export const share = <E, R>(
  client: HttpClient.HttpClient,
  request: ShareRequest<E, R>
): Effect.Effect<Shared, ShareFailure | E, R> =>
  Effect.gen(function* () {
    const { content, key: given, algorithm = "sha512", ttl = "" } = request
    const name = yield* nameOf({ ...request, content: Stream.empty })
    const key = yield* SignedContent.keyOf(given)
    const signed = yield* SignedContent.read(content, algorithm, key)
    if (yield* isPresent(client, name, signed.hash))
      return { result: "present", algorithm, hash: signed.hash.hex, size: signed.size } as const
    const date = new Date(yield* Clock.currentTimeMillis).toISOString()
    const parameters = SignedContent.parametersOf(name, signed, { ttl, date }, key)
    return yield* send(client, name, parameters, content, signed.size)
  })

/** A HEAD's 404 is an answer: the relay has it not. A 200 counts from a relay alone: others say so of what they know nothing of. */
const isPresent = (client: HttpClient.HttpClient, name: SharedFileName, hash: ContentHash) =>
  client
    .execute(
      HttpClientRequest.head(pathOf(name)).pipe(
        HttpClientRequest.setUrlParams({ "source-uuid": name.source, hash: hash.hex })
      )
    )
    .pipe(
      Effect.mapError(unreachable),
      Effect.flatMap((response): Effect.Effect<boolean, CallFailure> => {
        if (response.status === 200)
          return RequestId.header in response.headers
            ? Effect.succeed(true)
            : unexpected(response, `without ${RequestId.header}`)
        // Of an answer without a body only the status is there to tell. What it means, the upload's answer says.
        return response.status === 404 || (response.status >= 400 && response.status < 500)
          ? Effect.succeed(false)
          : unexpected(response, "")
      })
    )

const decodeAnswer = HttpClientResponse.schemaBodyJson(Schema.Union(Stored, Queued))

const send = <E, R>(
  client: HttpClient.HttpClient,
  name: SharedFileName,
  parameters: Record<string, string>,
  content: Stream.Stream<Uint8Array, E, R>,
  size: number
): Effect.Effect<Stored | Queued, CallFailure | E, R> =>
  Effect.flatMap(Effect.context<R>(), (context: Context.Context<R>) => {
    let failed: Option.Option<E> = Option.none()
    const body = content.pipe(
      Stream.tapError((error) =>
        Effect.sync(() => {
          failed = Option.some(error)
        })
      ),
      Stream.provideContext(context)
    )
    return client
      .execute(
        HttpClientRequest.post(pathOf(name)).pipe(
          HttpClientRequest.setUrlParams(parameters),
          HttpClientRequest.setBody(HttpBody.stream(body, "application/octet-stream", size))
        )
      )
      .pipe(
        Effect.mapError((error): CallFailure | E => Option.getOrElse(failed, () => unreachable(error))),
        Effect.flatMap((response) => answerOf(response))
      )
  })

const answerOf = (
  response: HttpClientResponse.HttpClientResponse
): Effect.Effect<Stored | Queued, CallFailure> =>
  response.status === 200 || response.status === 202
    ? Effect.mapError(decodeAnswer(response), () =>
        unexpected(response, "it is not what an upload is answered")
      )
    : refused(response)
