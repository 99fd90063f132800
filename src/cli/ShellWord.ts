/** Words of a command line that is to be pasted. */

/** A word that a shell takes as it is: in quotes, where it would mean something else without. */
export const quoted = (word: string): string =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
