/**
 * A process that is asked one thing at a time: a line of JSON in, a line of JSON out. Our variants and the peers are
 * measured in processes of their own, so that flags, threads and memory of one do not touch another, and each waits
 * silently while another is timed. An answer with `error` is a refusal.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface, type Interface } from "node:readline";

/** How to start one. */
export interface LineProcessOptions {
  /** For messages: what it is. */
  readonly name: string;
  readonly command: string;
  readonly arguments: readonly string[];
  /** Added to the environment. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Milliseconds that an answer may take. Default ten minutes. */
  readonly timeoutMs?: number;
}

const DEFAULT_TIMEOUT_MS = 600_000;
/** Characters of stderr that are kept for the error message. */
const KEPT_OF_STDERR = 4000;

/** A process refused, died or did not answer. */
export class LineProcessError extends Error {
  override readonly name = "LineProcessError";
}

/** What a process that failed said of it: the last line that speaks of an error, else the last one. */
export function lastWords(stderr: string): string {
  const lines = stderr.trim().split("\n");
  return lines.findLast((line) => /error/i.test(line)) ?? lines.at(-1) ?? "";
}

export class LineProcess implements AsyncDisposable {
  readonly #name: string;
  readonly #timeoutMs: number;
  readonly #child: ChildProcess;
  readonly #lines: Interface;
  readonly #exited: Promise<void>;
  #answer: PromiseWithResolvers<string> | undefined;
  #stderr = "";
  #lost: string | undefined;

  constructor(options: LineProcessOptions) {
    this.#name = options.name;
    this.#timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    this.#child = spawn(options.command, options.arguments, {
      stdio: ["pipe", "pipe", "pipe"],
      env: { ...process.env, ...options.environment },
    });
    this.#lines = createInterface({ input: this.#child.stdout! });
    this.#lines.on("line", (line) => this.#answer?.resolve(line));
    this.#child.stderr!.setEncoding("utf8");
    this.#child.stderr!.on("data", (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-KEPT_OF_STDERR);
    });
    // Writing to a process that is gone: that it is gone is reported by its exit.
    this.#child.stdin!.on("error", (error) => this.#lose(error.message));
    this.#exited = new Promise((resolve) => {
      this.#child.once("error", (error) => {
        this.#lose(error.message);
        resolve();
      });
      this.#child.once("close", (code, signal) => {
        const last = lastWords(this.#stderr);
        this.#lose(`it ended with ${signal ?? `status ${code}`}${last === "" ? "" : `: ${last}`}`);
        resolve();
      });
    });
  }

  /**
   * Sends `question` and waits for the answer. One question at a time.
   *
   * @throws LineProcessError when the process refuses, dies, or does not answer in time
   */
  async ask<Answer extends object>(question: object): Promise<Answer> {
    if (this.#lost !== undefined) throw this.#error(this.#lost);
    const answer = Promise.withResolvers<string>();
    this.#answer = answer;
    const seconds = this.#timeoutMs / 1000;
    const timeout = setTimeout(() => this.#lose(`no answer for ${seconds} s`), this.#timeoutMs);
    try {
      this.#child.stdin!.write(`${JSON.stringify(question)}\n`);
      const parsed = JSON.parse(await answer.promise) as Answer | { readonly error: string };
      if ("error" in parsed) throw this.#error(String(parsed.error));
      return parsed;
    } finally {
      clearTimeout(timeout);
      this.#answer = undefined;
    }
  }

  #error(reason: string): LineProcessError {
    return new LineProcessError(`${this.#name}: ${reason}`);
  }

  #lose(reason: string): void {
    this.#lost ??= reason;
    this.#answer?.reject(this.#error(this.#lost));
  }

  /** Ends the process and waits until it is gone. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#lose("it was ended");
    this.#child.kill("SIGKILL");
    await this.#exited;
    this.#lines.close();
  }
}

/**
 * The other side: answers each line of stdin by what `handle` makes of it, until stdin ends. What `handle` throws
 * goes back as a refusal.
 */
export async function answerLines(
  handle: (question: Record<string, unknown>) => Promise<object>,
): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    const answer = await handle(JSON.parse(line) as Record<string, unknown>).catch((error: unknown) => ({
      error: error instanceof Error ? error.message : String(error),
    }));
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
}
