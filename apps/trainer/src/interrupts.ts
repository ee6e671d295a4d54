/**
 * SIGINT, SIGTERM and SIGHUP (the terminal is closed): the first asks the run to finish its step and save; a second ends
 * the process at once, unless it is SIGHUP, which a closing terminal and its shell both send.
 */
import { EXIT, InterruptedError } from "./errors.ts";
import { OUTLIVES_TERMINAL } from "./hangups.ts";

export interface Interrupts extends Disposable {
  readonly signal: AbortSignal;
  /** Exit status that the signal asks for; undefined when none came. */
  status(): number | undefined;
}

/** Under `nohup` SIGHUP is left to `program.ts`, which ignores it. */
const SIGNALS: readonly NodeJS.Signals[] = OUTLIVES_TERMINAL
  ? ["SIGINT", "SIGTERM"]
  : ["SIGINT", "SIGTERM", "SIGHUP"];

/** What a command does about the first signal, and what had not come yet where that leaves nothing. */
const TRAINING = {
  does: "finishing the step and saving a checkpoint",
  before: "before the first step",
} as const;

/** Listens until disposed. `announce` tells the user what is happening. */
export function listenForInterrupts(
  announce: (line: string) => void,
  { does, before }: Readonly<Record<keyof typeof TRAINING, string>> = TRAINING,
): Interrupts {
  const controller = new AbortController();
  let status: number | undefined;
  const listener = (signal: NodeJS.Signals): void => {
    const wanted = signal === "SIGINT" ? EXIT.interrupted : EXIT.terminated;
    if (status !== undefined) {
      if (signal === "SIGHUP") return;
      process.exit(wanted);
    }
    status = wanted;
    announce(`${signal}: ${does} (once more to stop at once)`);
    // Whoever waits for data before the first step throws the reason; the training loop only looks at `aborted`.
    controller.abort(new InterruptedError(signal, wanted, before));
  };
  for (const signal of SIGNALS) process.on(signal, listener);
  return {
    signal: controller.signal,
    status: () => status,
    [Symbol.dispose]() {
      for (const signal of SIGNALS) process.off(signal, listener);
    },
  };
}
