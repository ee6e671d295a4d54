/** Parsers of command-line arguments that are not options of a training run. */
import { type Command, InvalidArgumentError } from "commander";
import { RequestError } from "../errors.ts";
import { MOST_HELD_OUT } from "../options/rows.ts";
import { MOST_SEED, MOST_WORKERS } from "../options/running.ts";

/** A whole number of at least 1; `1e6` is understood. */
export function parseCount(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1)
    throw new InvalidArgumentError("expected a whole number of at least 1.");
  return value;
}

/** Numbers of latents, the first one 0. */
export function parseLatents(text: string): number[] {
  return text.split(",").map((part) => {
    const value = Number(part);
    if (part.trim() === "" || !Number.isSafeInteger(value) || value < 0)
      throw new InvalidArgumentError("expected whole numbers of at least 0, with commas between.");
    return value;
  });
}

/** A number of worker threads. */
export function parseWorkers(text: string): number {
  const value = parseCount(text);
  if (value > MOST_WORKERS)
    throw new InvalidArgumentError(`expected at most ${MOST_WORKERS} on this machine.`);
  return value;
}

/** A seed, as `train` takes it. */
export function parseSeed(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isSafeInteger(value) || value < 0 || value > MOST_SEED)
    throw new InvalidArgumentError(`expected a whole number from 0 to ${MOST_SEED}.`);
  return value;
}

/** A share of documents to hold out, as `train` takes it. */
export function parseHeldOut(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !(value >= 0 && value <= MOST_HELD_OUT))
    throw new InvalidArgumentError(`expected a number from 0 to ${MOST_HELD_OUT}.`);
  return value;
}

/** A number of at least 0. */
export function parseAmount(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value) || value < 0)
    throw new InvalidArgumentError("expected a number of at least 0.");
  return value;
}

/** Which vectors of the corpus are meant. */
export interface ColumnFlags {
  readonly column?: string | undefined;
  readonly columns?: readonly string[] | undefined;
}

/** Adds `--column` and `--columns`. @param byDefault what is read without them */
export function addColumnFlags(command: Command, byDefault = "the only one there is"): Command {
  return command
    .option("--column <name>", `vector column (default: ${byDefault})`)
    .option(
      "--columns <name,name,…>",
      "instead: several vector columns, whose vectors make a row side by side; of a transcoder what it reads, then what it rebuilds",
      (text) => text.split(","),
    );
}

/** The column or columns asked for. @throws RequestError when both flags are given */
export function columnOf({ column, columns }: ColumnFlags): string | readonly string[] | undefined {
  if (column !== undefined && columns !== undefined)
    throw new RequestError("--column and --columns contradict each other: give one of them");
  return columns ?? column;
}
