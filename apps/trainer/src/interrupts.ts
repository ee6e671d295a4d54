/** SIGINT and SIGTERM: the first asks the run to finish its step and save; a second ends the process at once. */
import { EXIT, InterruptedError } from "./errors.ts";

export interface Interrupts extends Disposable {
  readonly signal: AbortSignal;
  /** Exit status that the signal asks for; undefined when none came. */
  status(): number | undefined;
}

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
    const wanted = signal === "SIGTERM" ? EXIT.terminated : EXIT.interrupted;
    if (status !== undefined) process.exit(wanted);
    status = wanted;
    announce(`${signal}: ${does} (once more to stop at once)`);
    // Whoever waits for data before the first step throws the reason; the training loop only looks at `aborted`.
    controller.abort(new InterruptedError(signal, wanted, before));
  };
  process.on("SIGINT", listener);
  process.on("SIGTERM", listener);
  return {
    signal: controller.signal,
    status: () => status,
    [Symbol.dispose]() {
      process.off("SIGINT", listener);
      process.off("SIGTERM", listener);
    },
  };
}
