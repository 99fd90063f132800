/** Text of others in a line of ours: it ends no line, moves no cursor and hides nothing. */

/** C0 and C1 controls, line separators, and what turns the direction of text. */
const unprintable = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g

const ascii = /^[ -~]*$/

/** Whether all of it is printable ASCII, as most is: then `line` and `json` leave it as it is. */
export const isAscii = (text: string): boolean => ascii.test(text)

const escape = (character: string): string => {
  const code = character.charCodeAt(0)
  if (code === 0x0a) return "\\n"
  return code <= 0xff
    ? `\\x${code.toString(16).padStart(2, "0")}`
    : `\\u${code.toString(16).padStart(4, "0")}`
}

/** The text as one line, with what is not printable escaped: `\n`, `\x1b`, `\u202e`. */
export const line = (text: string): string => text.replaceAll(unprintable, escape)

/** JSON as one line: characters that are not printable, but allowed in JSON, become JSON's `\u` escapes. */
export const json = (text: string): string =>
  text.replaceAll(unprintable, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`)
