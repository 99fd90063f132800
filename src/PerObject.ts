/** What is made of an object once, for as long as that is there. */

/** Gives what `make` made of an object, which is called for it once. Nothing keeps an object that nobody else has any more. */
export const perObject = <A extends object, B extends NonNullable<unknown>>(
  make: (of: A) => B
): ((of: A) => B) => {
  const all = new WeakMap<A, B>()
  return (of) => {
    const known = all.get(of)
    if (known !== undefined) return known
    const made = make(of)
    all.set(of, made)
    return made
  }
}
