/**
 * Many names in few words, as `clush` and `nodeset` write them: `web[1-3],db1`. A number that is written with zeros before
 * it keeps them: `web[08-10]`.
 */
import { Either } from "effect"

/** Longer numbers are words. */
const number = /(?<!\d)\d{1,9}(?!\d)/g

/** Ids of machines have numbers in them that count nothing. */
const uuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/** Names that differ in their numbers alone. */
interface Family {
  /** What stands around the numbers, one part more than there are numbers. */
  readonly words: ReadonlyArray<string>
  /** For each number, which ones there are: all combinations of them are meant. */
  readonly numbers: ReadonlyArray<ReadonlyArray<string>>
}

const familyOf = (name: string): Family =>
  uuid.test(name)
    ? { words: [name], numbers: [] }
    : { words: name.split(number), numbers: (name.match(number) ?? []).map((one) => [one]) }

const grouped = <A>(items: Iterable<A>, keyOf: (item: A) => string): ReadonlyArray<ReadonlyArray<A>> => {
  const groups = new Map<string, Array<A>>()
  for (const item of items) {
    const key = keyOf(item)
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [item])
    else group.push(item)
  }
  return [...groups.values()]
}

/** As a person counts: 9 before 10, and 9 before 09. */
const inOrder = (one: string, other: string): number =>
  Number(one) - Number(other) || one.length - other.length

/** Families that differ in one place alone are one, for each place in turn, the last one first. */
const merged = (families: ReadonlyArray<Family>): ReadonlyArray<Family> => {
  let found = families
  const [first] = families
  for (let place = (first?.numbers.length ?? 0) - 1; place >= 0; place--) {
    const elsewhere = ({ numbers }: Family) =>
      numbers.map((some, at) => (at === place ? "" : some.join(","))).join(";")
    found = grouped(found, elsewhere).map((alike): Family => {
      const [one = { words: [], numbers: [] }] = alike
      const all = alike.flatMap(({ numbers }) => numbers[place] ?? []).sort(inOrder)
      return { words: one.words, numbers: one.numbers.map((some, at) => (at === place ? all : some)) }
    })
  }
  return found
}

/** Whether one number follows another where both are written in the same way. */
const follows = (one: string, next: string): boolean => {
  if (Number(next) !== Number(one) + 1) return false
  return one.length === next.length || !(one.startsWith("0") || next.startsWith("0"))
}

/** `1-3,7`, of numbers in order. */
const ranges = (numbers: ReadonlyArray<string>): string => {
  const found: Array<[first: string, last: string]> = []
  for (const one of numbers) {
    const last = found.at(-1)
    if (last !== undefined && follows(last[1], one)) last[1] = one
    else found.push([one, one])
  }
  return found.map(([first, last]) => (first === last ? first : `${first}-${last}`)).join(",")
}

const written = ({ words, numbers }: Family): string =>
  words
    .map((word, place) => {
      const some = numbers[place]
      if (some === undefined) return word
      return word + (some.length === 1 ? some[0] : `[${ranges(some)}]`)
    })
    .join("")

const collator = new Intl.Collator("en", { numeric: true })

/** Names without repeats, as a person sorts them: `web9` before `web10`. */
export const sorted = (names: Iterable<string>): ReadonlyArray<string> =>
  [...new Set(names)].sort((one, other) => collator.compare(one, other) || (one < other ? -1 : 1))

/** Names as few words; `unfold` has them all again, in their order. */
export const fold = (names: Iterable<string>): string =>
  grouped(sorted(names).map(familyOf), ({ words }) => words.join("\0"))
    .flatMap(merged)
    .map(written)
    .join(",")

/** More names are a slip of the hand. */
const maxNames = 100_000

const width = (first: string, last: string): number => (first.length === last.length ? first.length : 0)

/** The numbers of `1-3,7`. */
const numbersOf = (text: string): Either.Either<ReadonlyArray<string>, string> => {
  const found: Array<string> = []
  for (const part of text.split(",")) {
    const [, first, last = first] = /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(part) ?? []
    if (first === undefined || last === undefined || Number(last) < Number(first))
      return Either.left(`expected numbers such as 1-3,7 in [${text}]`)
    if (Number(last) - Number(first) >= maxNames) return Either.left(`[${text}] is too many names`)
    for (let one = Number(first); one <= Number(last); one++)
      found.push(String(one).padStart(width(first, last), "0"))
  }
  return Either.right(found)
}

/** At the commas that stand in no brackets. */
const parts = (text: string): ReadonlyArray<string> => text.split(/,(?![^[]*\])/)

/** Every name that is meant by `web[1-3],db1`; what has no brackets is itself. Fails with what is wrong with it. */
export const unfold = (text: string): Either.Either<ReadonlyArray<string>, string> =>
  Either.gen(function* () {
    const all: Array<string> = []
    for (const part of parts(text)) {
      let names: ReadonlyArray<string> = [""]
      // Words and what stands in brackets, in turn.
      for (const [place, piece] of part.split(/\[([^[\]]*)\]/).entries()) {
        if (/[[\]]/.test(piece)) return yield* Either.left(`a bracket in ${part} has no other`)
        const choices = place % 2 === 0 ? [piece] : yield* numbersOf(piece)
        if (names.length * choices.length > maxNames) return yield* Either.left(`${part} is too many names`)
        names = names.flatMap((name) => choices.map((choice) => name + choice))
      }
      all.push(...names)
    }
    return all
  })
