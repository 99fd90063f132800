/** The public surface of the package. */
export * as Relay from "./Relay.ts"
