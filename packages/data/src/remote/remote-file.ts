/**
 * A remote object as a `RangeReader`: every answer is checked against what was asked and against the object that was
 * opened; failed attempts are repeated, from the byte that they reached, a bounded number of times. Knows no protocol.
 */
import { setTimeout as delay } from "node:timers/promises";
import { CorpusError } from "../errors.ts";
import type { CorpusErrorKind } from "../errors.ts";
import { errorCode } from "../file-errors.ts";
import type { RangeReader } from "../range-reader.ts";
import { fileName } from "./address.ts";
import type { TransferLimits } from "./options.ts";
import { TransferError } from "./source.ts";
import type { RangeResponse, RangeSource, Validator } from "./source.ts";

/** The longest wait between two attempts, ms. */
const LONGEST_BACKOFF_MS = 16_000;

/** A remote object that was opened. */
export interface OpenedRemote extends RangeReader {
  /** Its first bytes, which opening has read. */
  readonly start: Uint8Array;
  /** True when the server gave an ETag or a date, without which no two contents can be told apart. */
  readonly hasValidator: boolean;
}

/**
 * Opens an object by reading its first bytes: that also tells its size and ETag, whether the server knows ranges, and
 * needs no more rights than reading.
 * @param startBytes how many.
 * @throws CorpusError not-found, unreadable, unsupported (no ranges), unreachable.
 */
export async function openRemote(
  source: RangeSource,
  limits: TransferLimits,
  startBytes: number,
  signal?: AbortSignal,
): Promise<OpenedRemote> {
  const opening = { ...limits, attempts: Math.ceil(limits.attempts / 2) };
  return await withAttempts(source, opening, signal, async (attempt, progress) => {
    const response = await source.request(0, startBytes - 1, undefined, attempt);
    try {
      // Only an empty object has no first byte.
      if (response.status === 416) {
        return new RemoteFile(source, limits, 0, response.validator, new Uint8Array(0));
      }
      refuse(source, response, OPENING);
      const { first, last, total } = rangeOf(response);
      const end = Math.min(startBytes, total);
      if (first !== 0 || last >= end) throw wrongRange(response, 0, end - 1);
      const start = new Uint8Array(end);
      await receive(response, start, 0, progress);
      return new RemoteFile(source, limits, total, response.validator, start);
    } finally {
      response.body.destroy();
    }
  });
}

class RemoteFile implements OpenedRemote {
  readonly path: string;
  readonly size: number;
  readonly identity: string;
  readonly isRemote = true;
  readonly start: Uint8Array;
  readonly hasValidator: boolean;
  readonly #source: RangeSource;
  readonly #limits: TransferLimits;
  readonly #validator: Validator;

  constructor(
    source: RangeSource,
    limits: TransferLimits,
    size: number,
    validator: Validator,
    start: Uint8Array,
  ) {
    this.#source = source;
    this.#limits = limits;
    this.#validator = validator;
    this.path = source.url;
    this.size = size;
    this.identity = `${validator.etag ?? validator.lastModified ?? ""}:${size}`;
    this.hasValidator = validator.etag !== undefined || validator.lastModified !== undefined;
    this.start = start;
  }

  async read(into: Uint8Array, position: number, signal?: AbortSignal): Promise<void> {
    const length = into.byteLength;
    if (length === 0) return;
    if (position < 0 || position + length > this.size) {
      throw new RangeError(
        `bytes ${position} to ${position + length} of ${this.path} lie outside of its ${this.size}`,
      );
    }
    let done = 0;
    await withAttempts(this.#source, this.#limits, signal, async (attempt, progress) => {
      const first = position + done;
      const last = position + length - 1;
      const response = await this.#source.request(first, last, this.#validator, attempt);
      try {
        refuse(this.#source, response, READING);
        this.#requireSame(response);
        const range = rangeOf(response);
        if (range.total !== this.size)
          throw changed(this.path, `it has ${range.total} bytes, not ${this.size}`);
        if (range.first !== first || range.last > last) throw wrongRange(response, first, last);
        await receive(response, into, done, (bytes) => {
          done += bytes;
          progress(bytes);
        });
      } finally {
        response.body.destroy();
      }
    });
  }

  /** Servers that know no conditions answer all the same: then their own word tells. */
  #requireSame({ validator }: RangeResponse): void {
    const { etag, lastModified } = this.#validator;
    if (etag !== undefined && validator.etag !== undefined) {
      if (validator.etag !== etag) throw changed(this.path, `its ETag is ${validator.etag}, not ${etag}`);
    } else if (validator.lastModified !== lastModified) {
      throw changed(this.path, `it was modified on ${validator.lastModified}, not on ${lastModified}`);
    }
  }
}

/** Copies an answer's bytes to `into` from `offset` on; reports them as they come. */
async function receive(
  response: RangeResponse,
  into: Uint8Array,
  offset: number,
  progress: (bytes: number) => void,
): Promise<void> {
  let at = offset;
  try {
    for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
      if (at + chunk.byteLength > into.byteLength)
        throw new TransferError("it sent more bytes than it was asked for");
      into.set(chunk, at);
      at += chunk.byteLength;
      progress(chunk.byteLength);
    }
  } catch (cause) {
    if (cause instanceof TransferError) throw cause;
    throw new TransferError(
      `the connection broke after ${at} of ${into.byteLength} bytes (${errorCode(cause)})`,
      { cause },
    );
  }
  if (at < into.byteLength) {
    throw new TransferError(`the answer ended after ${at} of ${into.byteLength} bytes`);
  }
}

/** What a refusal means when an object is opened, and when it was open already. */
const OPENING = { missing: "not-found", refused: "unreadable" } as const;
const READING = { missing: "changed", refused: "unreachable" } as const;

/** Throws unless the answer is a part of the object. */
function refuse(
  source: RangeSource,
  response: RangeResponse,
  kinds: { readonly missing: CorpusErrorKind; readonly refused: CorpusErrorKind },
): void {
  const { status, contentEncoding } = response;
  const path = source.url;
  const detail = response.detail === "" ? "" : `: ${response.detail}`;
  if (status === 206) {
    if (contentEncoding === undefined) return;
    throw new CorpusError(
      "unsupported",
      `the server sends it compressed (Content-Encoding ${contentEncoding}); ranges of the file as it is are needed`,
      { path },
    );
  }
  if (status === 200) {
    throw new CorpusError(
      "unsupported",
      "the server ignores byte ranges (it answers 200, not 206); download the file, or use a server that knows them",
      { path },
    );
  }
  if (status === 404 || status === 410) {
    const what = kinds === OPENING ? "there is no such object" : "the object was removed while it was in use";
    const folder = kinds === OPENING && !fileName(path).includes(".") ? "; a folder's address ends in /" : "";
    throw new CorpusError(kinds.missing, `${what} (${status}${detail})${folder}`, { path });
  }
  if (status === 412 || status === 416) throw changed(path, `the server says ${status}${detail}`);
  if (mayPass(status)) {
    throw new TransferError(`the server answered ${status}${detail}`, { retryAfter: response.retryAfter });
  }
  const right =
    status === 401 || status === 403 ? "; check the rights and that the address is not outdated" : "";
  throw new CorpusError(kinds.refused, `the server refuses to give it (${status}${detail})${right}`, {
    path,
  });
}

/** True for a refusal that a server may take back: too early, too much at once, or its own fault. */
export function mayPass(status: number): boolean {
  return status === 408 || status === 425 || status === 429 || status >= 500;
}

function changed(path: string, how: string): CorpusError {
  return new CorpusError("changed", `the object changed while it was in use (${how}); start again`, { path });
}

function rangeOf(response: RangeResponse): { first: number; last: number; total: number } {
  const match = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(response.contentRange ?? "");
  if (match === null) {
    throw new TransferError(
      `it answered with the range "${response.contentRange ?? ""}", which names no bytes`,
    );
  }
  return { first: Number(match[1]), last: Number(match[2]), total: Number(match[3]) };
}

function wrongRange(response: RangeResponse, first: number, last: number): TransferError {
  return new TransferError(
    `it answered with "${response.contentRange}" when asked for bytes ${first}-${last}`,
  );
}

/**
 * Runs an attempt, again while it throws TransferError, under the limits of time.
 * @throws CorpusError unreachable after the last attempt.
 */
export async function withAttempts<T>(
  { url }: { readonly url: string },
  limits: TransferLimits,
  signal: AbortSignal | undefined,
  attempt: (signal: AbortSignal, progress: (bytes: number) => void) => Promise<T>,
): Promise<T> {
  const began = performance.now();
  for (let number = 1; ; number++) {
    signal?.throwIfAborted();
    try {
      return await withinLimits(limits, signal, attempt);
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof TransferError)) throw error;
      if (number >= limits.attempts) {
        const seconds = ((performance.now() - began) / 1000).toPrecision(2);
        const what = `the server did not deliver in ${number} attempts over ${seconds} s; the last one: ${error.message}`;
        throw new CorpusError("unreachable", what, { path: url, cause: error });
      }
      const backoff = Math.min(LONGEST_BACKOFF_MS, limits.backoffMs * 2 ** (number - 1));
      // Random, so that many processes that lost one server do not come back at once. It decides no data.
      const wait = Math.max(backoff * (0.5 + 0.5 * Math.random()), 1000 * Math.min(30, error.retryAfter));
      await delay(wait, undefined, signal === undefined ? {} : { signal });
    }
  }
}

/** One attempt, aborted when it is silent, or lasts, too long. */
async function withinLimits<T>(
  { silenceMs, attemptMs }: TransferLimits,
  signal: AbortSignal | undefined,
  attempt: (signal: AbortSignal, progress: (bytes: number) => void) => Promise<T>,
): Promise<T> {
  const limit = new AbortController();
  const stop = (ms: number, what: string): NodeJS.Timeout =>
    setTimeout(() => limit.abort(new TransferError(what)), ms);
  const silence = stop(silenceMs, `no byte came for ${silenceMs / 1000} s`);
  const whole = stop(attemptMs, `it was not complete after ${attemptMs / 1000} s`);
  const follow = (): void => limit.abort(signal?.reason);
  signal?.addEventListener("abort", follow, { once: true });
  try {
    return await attempt(limit.signal, () => silence.refresh());
  } catch (error) {
    // Whatever the aborted request threw: this is why.
    if (limit.signal.aborted) throw limit.signal.reason;
    throw error;
  } finally {
    clearTimeout(silence);
    clearTimeout(whole);
    signal?.removeEventListener("abort", follow);
  }
}
