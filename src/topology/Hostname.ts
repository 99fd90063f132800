/** Host names come from inventories, so nodes have a say in them: what may be run or contacted. */

const pattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/

/** True for a name that can stand on a command line and in a URL. */
export const isHostname = (text: string): boolean => pattern.test(text)
