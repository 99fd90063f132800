/** The executable: what must hold from the first moment on, and then, as a file of its own, everything else. */
import "./cli/FirstMoment.ts"

await import("./cli/Main.ts")
