/**
 * `rudder-relay __complete WORD…`: what may stand in the place of the last word. The scripts that shells read call it at
 * each press of the key. It is a program of its own, which loads nothing that it does not need.
 *
 * The first line says who knows more words: `files` or `folders`, of this machine, or `none`. Each other line is a word, and
 * behind a tab what it means.
 */
import { Effect } from "effect"
import * as Printable from "../Printable.ts"
import * as Candidates from "./Candidates.ts"
import * as CompletionRelay from "./CompletionRelay.ts"
import { tree } from "./ProgramTree.ts"

/** What a shell reads. Words in which something is not printable are left out: a shell would run what it can't show. */
const lines = (candidates: Candidates.Candidates, more: ReadonlyArray<Candidates.Candidate>): string => {
  const { kept, kind, words } = candidates
  const first = kind === "files" || kind === "folders" ? kind : "none"
  const all = [...words, ...more]
    .filter(({ word }) => Printable.line(word) === word)
    .map(({ word, meaning }) => `${kept}${word}\t${Printable.line(meaning)}`)
  return [first, ...new Set(all)].map((line) => `${line}\n`).join("")
}

/** @param words what was said behind the program's name; the last one is being typed */
const complete = (words: ReadonlyArray<string>): Effect.Effect<string> =>
  Effect.suspend(() => {
    const candidates = Candidates.of(tree, words)
    const { kind, relay, typed } = candidates
    return Effect.map(
      kind === undefined ? Effect.succeed([]) : CompletionRelay.words(relay, kind, typed),
      (more) => lines(candidates, more)
    )
  })

/** Prints what `complete` says. */
export const run = (words: ReadonlyArray<string>): Promise<void> =>
  Effect.runPromise(Effect.map(complete(words), (text) => void process.stdout.write(text)))
