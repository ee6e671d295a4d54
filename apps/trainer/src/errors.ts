/** The command's errors and the exit statuses they lead to. */
import { OptionError } from "@sparseloom/core";
import { isCorpusError } from "@sparseloom/data";
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

/** The flag or command that helps, where the packages below, which know neither, only say what is wrong. */
export function hintOf(error: unknown): string {
  if (isCorpusError(error) && error.option !== undefined) return ` (${flagOf(error.option)})`;
  if (isCorpusError(error, "unsupported") && error.message.endsWith("or hold out nothing"))
    return " (--document-column, --held-out 0)";
  if (isCorpusError(error, "nulls") && error.message.endsWith("without the column first"))
    return " (sparseloom corpus pack --labels)";
  if (isCorpusError(error, "not-arrow") && error.message.endsWith("convert it first"))
    return " (sparseloom corpus pack)";
  // Thrown by a worker, of whose errors only the message arrives.
  return error instanceof Error && error.message.endsWith("use a smaller mini-batch") ? " (--batch)" : "";
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
