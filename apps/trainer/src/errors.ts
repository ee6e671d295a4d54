/** The command's errors and the exit statuses they lead to. */
import { OptionError } from "@sparseloom/core";
import { isCorpusError } from "@sparseloom/data";
import type { Command } from "commander";
import { flagOf } from "./options/describe-issue.ts";

/** Exit statuses of the `sparseloom` process. */
export const EXIT = { done: 0, failed: 1, wrongRequest: 2, interrupted: 130, terminated: 143 } as const;

/** The request was wrong: one line says what, where, and what would be right. Exit status 2. */
export class RequestError extends Error {
  override readonly name = "RequestError";
}

/** The run failed for a reason outside the program, explained in one line. Exit status 1, no stack trace. */
export class RunError extends Error {
  override readonly name = "RunError";
}

/** The numbers left the range of float32. The run is repeatable, so going on from a checkpoint would end here again. */
export class DivergedError extends RunError {}

/** A signal came before there was anything to save. The status is that of the signal. */
export class InterruptedError extends Error {
  override readonly name = "InterruptedError";
  readonly status: number;

  /** @param when what had not come yet */
  constructor(signal: NodeJS.Signals, status: number, when = "before the first step") {
    super(`${signal} ${when}: nothing was written`);
    this.status = status;
  }
}

/** `text` as one word of a command line. */
export function shellQuoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** Whether the operating system refused something: a full disk, missing rights. Says which call and path itself. */
function isSystemError(error: unknown): boolean {
  return error instanceof Error && "syscall" in error && "code" in error;
}

/** What helps in a command, by the option that an error names, where that is not simply the option's own flag. */
const REMEDIES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  // A column that was named must be there even where no row is held out.
  train: { documentColumn: "--document-column, or --held-out 0 without it" },
  // It takes the column of the training, or the usual one, and has no flag for another.
  eval: { documentColumn: "--split all" },
  split: { labels: "sparseloom corpus pack --labels" },
};

/**
 * What helps in the command that was asked for: its flag, or another command. The packages below, which know neither,
 * only say what is wrong, and by which of their options it goes right.
 */
export function hintOf(error: unknown, command: Command | undefined): string {
  if (!isCorpusError(error)) return "";
  if (error.kind === "not-packed") return " (sparseloom corpus pack)";
  if (error.option === undefined || command === undefined) return "";
  const flag = flagOf(error.option);
  const own = command.options.some(({ long }) => long === flag) ? flag : undefined;
  const remedy = REMEDIES[command.name()]?.[error.option] ?? own;
  return remedy === undefined ? "" : ` (${remedy})`;
}

/** The flag that helps against an error of a worker. Goes by the text: of such an error only the message arrives. */
export function hintOfWorker(message: string): string {
  return message.endsWith("use a smaller mini-batch") ? " (--batch)" : "";
}

/** Codes of a system that has no more room, or whose disk fails. */
const OUT_OF_SPACE: readonly unknown[] = ["ENOSPC", "EDQUOT", "EFBIG", "EIO"];

/** The exit status for an error, and whether its stack helps: only for faults of our own. */
export function judge(error: unknown): { status: number; showStack: boolean } {
  if (error instanceof RequestError || error instanceof OptionError)
    return { status: EXIT.wrongRequest, showStack: false };
  if (error instanceof InterruptedError) return { status: error.status, showStack: false };
  // A corpus that changes, or a server that fails, while it is read is not a wrong request.
  if (isCorpusError(error, "changed", "unreachable")) return { status: EXIT.failed, showStack: false };
  if (isCorpusError(error, "unwritable")) {
    const { code } = (error.cause ?? {}) as { code?: unknown };
    return { status: OUT_OF_SPACE.includes(code) ? EXIT.failed : EXIT.wrongRequest, showStack: false };
  }
  if (isCorpusError(error)) return { status: EXIT.wrongRequest, showStack: false };
  return { status: EXIT.failed, showStack: !(error instanceof RunError || isSystemError(error)) };
}
