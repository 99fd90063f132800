/** The address at which the daemon answers. Where there is one, everything behind it is ready. */
import type { HttpServer } from "@effect/platform"
import { Context } from "effect"

/** Provided from the moment on at which requests are answered. */
export class Listener extends Context.Tag("rudder-relay/Listener")<Listener, HttpServer.Address>() {}
