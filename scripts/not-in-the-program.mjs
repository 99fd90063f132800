// In the place of packages that the program's libraries name, and that it has no use for. They would be read at every
// start: 3 % of it, and 0.6 MB.

/** ini, toml, yaml: @effect/cli's, for options that name such files. The program has none; main.conf has a parser of its own. */
export const parse = () => {
  throw new Error("no option of the program names a file that is parsed")
}

/** msgpackr: the platform's, for bodies in another form than JSON. fast-check: effect's, to make values of a schema, in tests. */
export const Packr = class {}
export const Unpackr = class {}

/** ws: the platform's, for an `HttpServer` that answers to upgrades. The relay's own knows none. */
export const WebSocketServer = class {
  constructor() {
    throw new Error("the program has no web sockets")
  }
}

/** mime: the platform's, for files that it serves by itself. The relay says of each file that it serves what it is. */
export default { getType: () => null }
