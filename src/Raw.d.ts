/** A program for another process or thread, as text. */
declare module "*.mjs?raw" {
  const source: string
  export default source
}

declare module "*.pl?raw" {
  const source: string
  export default source
}
