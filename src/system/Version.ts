/** The version of this program, from its package. */
import package_ from "../../package.json" with { type: "json" }

/** `X.Y.Z` */
export const full: string = package_.version

/** `X.Y` */
export const major: string = full.split(".").slice(0, 2).join(".")
