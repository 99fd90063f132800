/** The address at which the daemon answers. Where there is one, everything behind it is ready. */
import type { HttpServer } from "@effect/platform"
import { Context } from "effect"

export class Listener extends Context.Tag("rudder-relay/Listener")<Listener, HttpServer.Address>() {}
