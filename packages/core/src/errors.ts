/**
 * The errors of core. `OptionError` is the caller's mistake (the command exits with status 2);
 * anything else that core throws is a fault of the run or of the program.
 */

/** A request that cannot be carried out as asked. The message is one line: what is wrong, and what would be right. */
export class OptionError extends Error {
  override readonly name = "OptionError";
  /** The option at fault, in camelCase, e.g. `k` or `latents`. */
  readonly option: string;

  constructor(option: string, message: string) {
    super(message);
    this.option = option;
  }
}

/** Throws a programmer's error when `condition` does not hold. Never caught: it is a bug of ours. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`internal: ${message}`);
}
