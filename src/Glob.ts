/** Patterns in which `*` stands for any text and `?` for one character. */

/**
 * Whether a text is one that the pattern means. A star takes as little as it can, and more where what follows it does not
 * fit: no text takes longer than its length times the pattern's, whatever the pattern.
 */
export const matches = (pattern: string, text: string): boolean => {
  let at = 0
  let place = 0
  /** Behind the last star, and where what it stands for ends so far. */
  let star = -1
  let end = 0
  while (at < text.length) {
    if (pattern[place] === "*") {
      star = ++place
      end = at
    } else if (place < pattern.length && (pattern[place] === "?" || pattern[place] === text[at])) {
      place++
      at++
    } else if (star !== -1) {
      place = star
      at = ++end
    } else return false
  }
  while (pattern[place] === "*") place++
  return place === pattern.length
}
