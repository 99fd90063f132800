// dist/rudder-relay.1: the man page, from what the program itself says of its commands.
import { spawnSync } from "node:child_process"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { top } from "./setup.mjs"

/** Its date is that of `SOURCE_DATE_EPOCH`, in seconds since 1970, where builds have to be the same. */
export const writeManPage = () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(top, "dist/main.cjs"), "__man"], {
    encoding: "utf8"
  })
  if (status !== 0) throw new Error(`the man page can't be made: ${stderr}`)
  writeFileSync(join(top, "dist/rudder-relay.1"), stdout)
}
