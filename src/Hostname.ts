/** Which host names may be run or contacted: they come from inventories, so that nodes can choose their own. */

const pattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/

/** True for a name that can stand on a command line and in a URL. */
export const isHostname = (text: string): boolean => pattern.test(text)

const endsInNumber = /(^|\.)(\d+|0x[0-9a-f]*)\.?$/i

/**
 * True for a name that resolvers look up. What ends in a number is an address or a mistake in one: they would take `10.1`
 * for 10.0.0.1, and a URL can't have it.
 */
export const isResolvable = (text: string): boolean => isHostname(text) && !endsInNumber.test(text)
