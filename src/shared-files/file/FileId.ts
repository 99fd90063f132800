/** The name of a shared file among those of one source for one target. It becomes a file's name. */
import { Schema } from "effect"
import { type NodeId, form as nodeIdForm } from "../../NodeId.ts"

/** Its form, in words. */
export const form = `${nodeIdForm}, and not ending in '.metadata'`

/** Its form. */
export const pattern = /^(?!\.{1,2}$)(?!.*\.[mM][eE][tT][aA][dD][aA][tT][aA]$)[A-Za-z0-9._-]{1,200}$/

/**
 * The name of a shared file, which is part of paths and file names: 1 to 200 letters, digits, `.`, `_` or `-`, neither
 * `.` nor `..`, and not ending in `.metadata`, which is the file beside it.
 */
export const FileId = Schema.String.pipe(
  Schema.pattern(pattern, {
    message: () => `expected ${form}`
  }),
  Schema.brand("FileId")
).annotations({ identifier: "FileId" })
export type FileId = typeof FileId.Type

/** Which file of whom for whom: what an upload, a check and a stored file have in common. */
export interface SharedFileName {
  readonly target: NodeId
  readonly source: NodeId
  readonly fileId: FileId
}

/** A shared file by the names that the log has for its parts. */
export const fieldsOf = ({ target, source, fileId }: SharedFileName) => ({ target, source, file_id: fileId })
