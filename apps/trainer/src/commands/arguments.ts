/** Parsers of command-line arguments that are not options of a training run. */
import { InvalidArgumentError } from "commander";
import { MOST_WORKERS } from "../options.ts";

/** A whole number of at least 1; `1e6` is understood. */
export function parseCount(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1)
    throw new InvalidArgumentError("expected a whole number of at least 1.");
  return value;
}

/** A number of worker threads. */
export function parseWorkers(text: string): number {
  const value = parseCount(text);
  if (value > MOST_WORKERS)
    throw new InvalidArgumentError(`expected at most ${MOST_WORKERS} on this machine.`);
  return value;
}

/** A whole number of at least 0. */
export function parseSeed(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isSafeInteger(value) || value < 0)
    throw new InvalidArgumentError("expected a whole number of at least 0.");
  return value;
}

/** A number of at least 0. */
export function parseAmount(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value) || value < 0)
    throw new InvalidArgumentError("expected a number of at least 0.");
  return value;
}
