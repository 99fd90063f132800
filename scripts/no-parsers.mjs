// In the place of the parsers of ini, toml and yaml that @effect/cli has for options that name such files: the program
// has no such options, and its main.conf has a parser of its own. Without these 240 KB it starts 28 ms sooner.
export const parse = () => {
  throw new Error("no option of the program names a file that is parsed")
}
