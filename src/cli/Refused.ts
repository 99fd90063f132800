/** What a relay would refuse, refused before it is asked, in its words. */
import type { InvalidRequest } from "../RelayError.ts"
import { type StartError, wrongCall } from "./StartError.ts"

/** Of a parameter, which the command line has as an option: `batch_wait` is `--batch-wait`. Code 2. */
export const option = ({ message, parameter = "" }: InvalidRequest): StartError =>
  wrongCall(`--${parameter.replaceAll("_", "-")}${message.slice(parameter.length)}`)
