/**
 * What the protocols have in common: one request for a range of bytes, and its answer, judged elsewhere
 * (`remote-file.ts`). Knows no protocol.
 */
import type { Readable } from "node:stream";

/** What tells whether an object is still the one that was opened. */
export interface Validator {
  readonly etag: string | undefined;
  /** As the server writes it. */
  readonly lastModified: string | undefined;
}

/** The answer to a request for a range; its status follows HTTP. */
export interface RangeResponse {
  readonly status: number;
  /** Content-Range, such as `bytes 0-99/1000`. */
  readonly contentRange: string | undefined;
  /** Content-Encoding, where it is not the identity. */
  readonly contentEncoding: string | undefined;
  readonly validator: Validator;
  /** Seconds that the server asks to wait before another attempt. */
  readonly retryAfter: number | undefined;
  /** What the server says is wrong; empty when it says nothing. */
  readonly detail: string;
  /** The bytes. Must be read to its end or destroyed. */
  readonly body: Readable;
}

/** An object that gives ranges of its bytes. */
export interface RangeSource {
  /** As it was given. */
  readonly url: string;
  /**
   * Asks once for bytes `first` to `last`, both included; `if` makes the server refuse (412) when the object has
   * changed.
   * @param signal ends the request and, later, its body.
   * @throws TransferError when no answer came, CorpusError when none ever will.
   */
  request(
    first: number,
    last: number,
    validator: Validator | undefined,
    signal: AbortSignal,
  ): Promise<RangeResponse>;
}

/** An attempt failed in a way that may pass: another one makes sense. */
export class TransferError extends Error {
  override readonly name = "TransferError";
  /** Seconds to wait at least before the next attempt. */
  readonly retryAfter: number;

  /** @param what completes "the last attempt: …". */
  constructor(
    what: string,
    options: { readonly retryAfter?: number | undefined; readonly cause?: unknown } = {},
  ) {
    super(what, options.cause === undefined ? undefined : { cause: options.cause });
    this.retryAfter = options.retryAfter ?? 0;
  }
}

/** Retry-After in seconds; undefined when there is none, or it is a date. */
export function parseRetryAfter(header: string | undefined): number | undefined {
  const seconds = Number(header);
  return header !== undefined && header !== "" && seconds >= 0 ? seconds : undefined;
}
