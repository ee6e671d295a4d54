/**
 * The one error of this package. It is thrown when what the user gave (a path, a file, an option) is wrong,
 * never for a bug of ours. Depends on nothing.
 */

/** What was wrong. Each kind is documented by the sentence that its message completes. */
export type CorpusErrorKind =
  /** A path or pattern names no file. */
  | "not-found"
  /** The operating system, or a server, refused to open or read the file; see `cause`. */
  | "unreadable"
  /** A server did not deliver, after all attempts; see `cause`. */
  | "unreachable"
  /** The operating system refused to write the file; see `cause`. */
  | "unwritable"
  /** The bytes are not an Arrow IPC file or stream, nor any that `packCorpus` reads. */
  | "not-arrow"
  /** The bytes are Parquet, a NumPy array or safetensors, of which `packCorpus` makes an Arrow file. */
  | "not-packed"
  /** The file ends before what its headers promise. */
  | "truncated"
  /** The headers contradict themselves or the format. */
  | "malformed"
  /** Valid data that this package does not read: compressed buffers above 1 GiB, big-endian, other folders. */
  | "unsupported"
  /** No column holds vectors of floating-point numbers. */
  | "no-vector-column"
  /** Several columns do, and none was named. */
  | "ambiguous-column"
  /** A label column that was asked for is not there. */
  | "no-label-column"
  /** The vectors of a column differ in length. */
  | "ragged"
  /** A vector, or a number in one, is null. */
  | "nulls"
  /** A number is NaN or infinite. */
  | "non-finite"
  /** Files, or batches, disagree about the dimension or number type of their vectors. */
  | "dimension-mismatch"
  /** Nothing to read: no rows. */
  | "empty"
  /** The file or object is not the one that was opened. */
  | "changed"
  /** Writing would replace an existing file. */
  | "exists"
  /** Another process is writing the file. */
  | "busy"
  /** A label does not fit its column when writing. */
  | "invalid-label"
  /** An option has a value that makes no sense. */
  | "invalid-option";

/** Where it was wrong, and by which option it goes right; every field that is known is given. */
export interface CorpusErrorPlace {
  /** Path of the file. */
  readonly path?: string | undefined;
  /** Index of the record batch in the file, from 0. */
  readonly batch?: number | undefined;
  /** Index of the row in the record batch, from 0. */
  readonly row?: number | undefined;
  /** Index of the vector in the row, from 0, where a row is a sequence of vectors. */
  readonly position?: number | undefined;
  /** Name of the column. */
  readonly column?: string | undefined;
  /**
   * The option, in camelCase, that says what would be right, e.g. `heldOut`; the message does not name it. Where the
   * message sends the reader to `packCorpus`, an option of that.
   */
  readonly option?: string | undefined;
  /** The error that led to this one. */
  readonly cause?: unknown;
}

/**
 * The input was wrong. `message` is one line: where (file, batch, row, position, column), what, and what would be right.
 */
export class CorpusError extends Error {
  readonly kind: CorpusErrorKind;
  readonly path: string | undefined;
  readonly batch: number | undefined;
  readonly row: number | undefined;
  readonly position: number | undefined;
  readonly column: string | undefined;
  readonly option: string | undefined;

  /** @param what the sentence after the place: what is wrong, and what would be right. */
  constructor(kind: CorpusErrorKind, what: string, place: CorpusErrorPlace = {}) {
    super(
      oneLine(`${describePlace(place)}${what}`),
      place.cause === undefined ? undefined : { cause: place.cause },
    );
    this.name = "CorpusError";
    this.kind = kind;
    this.path = place.path;
    this.batch = place.batch;
    this.row = place.row;
    this.position = place.position;
    this.column = place.column;
    this.option = place.option;
  }
}

/** True for a `CorpusError`, and, when kinds are given, one of these kinds. */
export function isCorpusError(error: unknown, ...kinds: readonly CorpusErrorKind[]): error is CorpusError {
  return error instanceof CorpusError && (kinds.length === 0 || kinds.includes(error.kind));
}

function describePlace(place: CorpusErrorPlace): string {
  const parts: string[] = [];
  if (place.path !== undefined) parts.push(place.path);
  if (place.batch !== undefined) parts.push(`batch ${place.batch}`);
  if (place.row !== undefined) parts.push(`row ${place.row}`);
  if (place.position !== undefined) parts.push(`position ${place.position}`);
  if (place.column !== undefined) parts.push(`column "${place.column}"`);
  return parts.length === 0 ? "" : `${parts.join(", ")}: `;
}

function oneLine(text: string): string {
  return text.replaceAll(/\s*[\r\n]+\s*/g, " ");
}
