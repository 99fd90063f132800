/** `main.conf` and `logging.conf`, loaded again: the log level is taken, other keys wait for a restart. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import { Effect, Layer, Ref } from "effect"
import { changedKeys } from "../config/Changes.ts"
import type { Keys } from "../config/Keys.ts"
import { load } from "../config/RelayConfig.ts"
import type { Logging } from "../system/Logging.ts"
import type { Reloadable } from "../system/Reload.ts"

const taken = "log.level"

/** @param inForce what the daemon was started with */
export const make = (directory: string, inForce: Keys, logging: Logging["Type"]): Effect.Effect<Reloadable> =>
  Effect.map(Ref.make<ReadonlyArray<string>>([]), (waiting) => ({
    name: "log level",
    reload: load(directory, process.env).pipe(
      Effect.provide(Layer.merge(NodeFileSystem.layer, NodePath.layer)),
      Effect.tap(({ keys }) =>
        Ref.set(
          waiting,
          changedKeys(inForce, keys).filter((key) => key !== taken)
        )
      ),
      Effect.flatMap(({ settings }) => logging.setLevel(settings.log.level))
    ),
    waiting: Ref.get(waiting)
  }))
