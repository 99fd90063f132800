/** How many columns text takes on a terminal, and text made to fit. */

/** What takes no column of its own. */
const zeroWidth = /^[\p{Mn}\p{Me}\p{Cf}]$/u

/** Scripts and pictures of which each character takes two columns. */
const wide =
  /^[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1f64f}\u{1f680}-\u{1f6ff}\u{1f900}-\u{1f9ff}\u{20000}-\u{3fffd}]$/u

const widthOf = (character: string): number => {
  if (character <= "~") return 1
  return zeroWidth.test(character) ? 0 : wide.test(character) ? 2 : 1
}

/** In columns. The text is one line, and all of it is printable. */
export const of = (text: string): number => {
  let width = 0
  for (const character of text) width += widthOf(character)
  return width
}

/** The text, cut to so many columns, at least 1, with `…` where something is missing. */
export const cut = (text: string, columns: number): string => {
  if (of(text) <= columns) return text
  let kept = ""
  let width = 1
  for (const character of text) {
    width += widthOf(character)
    if (width > columns) break
    kept += character
  }
  return `${kept}…`
}

/** The text with spaces behind it, so that it takes so many columns. */
export const pad = (text: string, columns: number): string =>
  text + " ".repeat(Math.max(0, columns - of(text)))

/** The text with spaces before it. */
export const padStart = (text: string, columns: number): string =>
  " ".repeat(Math.max(0, columns - of(text))) + text

/** Lines of words, none wider than so many columns but for single words that are. */
export const wrap = (text: string, columns: number): ReadonlyArray<string> => {
  const lines: Array<string> = []
  let line = ""
  for (const word of text.split(" ").filter((one) => one !== "")) {
    if (line === "") line = word
    else if (of(line) + 1 + of(word) <= columns) line += ` ${word}`
    else {
      lines.push(line)
      line = word
    }
  }
  return line === "" ? lines : [...lines, line]
}
