/** Which file of the shared folder a request's path names. */
import { Option } from "effect"

/** The folders from the top down, and the file. */
export type FolderPath = ReadonlyArray<string>

const decode = Option.liftThrowable(decodeURIComponent)

/** A slash or a NUL that was encoded is in no file's name. */
const isName = (name: string): boolean =>
  name !== "" && name !== "." && name !== ".." && !name.includes("/") && !name.includes("\0")

/**
 * Decodes a path, name by name, since an encoded slash divides nothing. None where it can't be a file's: with an empty
 * name, `.` or `..`, or badly encoded.
 *
 * @param path as it stands in the URL, without a slash at its beginning, and without the query
 */
export const parse = (path: string): Option.Option<FolderPath> =>
  Option.all(path.split("/").map((name) => Option.filter(decode(name), isName)))
