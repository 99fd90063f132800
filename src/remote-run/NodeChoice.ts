/** Which nodes of a run a caller wants to see, by how they ended or what they do. Loads nothing: completions name them, too. */

/** `ended` is any of the first four; `running` and `waiting` are what nodes are when they are asked for. */
export const nodeChoices = ["ok", "failed", "skipped", "unreported", "ended", "running", "waiting"] as const
