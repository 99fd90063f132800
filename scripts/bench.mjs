// npm run bench: speed as ratios of what is measured in one and the same run, so that they mean something anywhere.
// Everything is on loopback, bounded in count and time.
import { history } from "./bench/history.mjs"
import { remoteRun } from "./bench/remote-run.mjs"
import { sharedFiles } from "./bench/shared-files.mjs"
import { removeFolder } from "./bench/support.mjs"
import { build, install } from "./setup.mjs"

install()
build()
try {
  await remoteRun()
  await history()
  await sharedFiles()
} finally {
  removeFolder()
}
