/**
 * The headers of a file's record batches, in typed arrays: a large corpus of small batches has tens of thousands, and
 * as objects they would take a kilobyte each. Batches with one header (most have the same sizes) share it.
 */
import type { BatchHeader } from "./headers.ts";

/** A record batch and where its body starts. */
export interface PlacedBatch extends BatchHeader {
  /** Byte position of the body in the file. */
  readonly bodyPosition: number;
}

/** The record batches of a file, each made when it is asked for. */
export interface PlacedBatches {
  readonly length: number;
  /** Batch `index`; undefined when there is none. */
  at(index: number): PlacedBatch | undefined;
}

const CODECS: readonly BatchHeader["compression"][] = [undefined, "lz4", "zstd", "unknown"];

/** Collects batches in any order. */
export class BatchTable implements PlacedBatches {
  length = 0;
  #bodyPositions: Float64Array = new Float64Array(16);
  /** Where in `#headers` the batch's header starts. */
  #starts: Float64Array = new Float64Array(16);
  /** One after the other: rows, codec, three counts, and what they count. */
  #headers: Float64Array = new Float64Array(256);
  #end = 0;
  #latest: { readonly header: BatchHeader; readonly start: number } | undefined;
  #decoded: { readonly header: BatchHeader; readonly start: number } | undefined;

  /** Enters a batch. Every index up to the largest must be entered before batches are read. */
  set(index: number, header: BatchHeader, bodyPosition: number): void {
    this.#bodyPositions = withRoom(this.#bodyPositions, index + 1);
    this.#starts = withRoom(this.#starts, index + 1);
    this.length = Math.max(this.length, index + 1);
    this.#bodyPositions[index] = bodyPosition;
    this.#starts[index] = this.#keep(header);
  }

  at(index: number): PlacedBatch | undefined {
    if (!(index >= 0 && index < this.length)) return undefined;
    const start = this.#starts[index]!;
    if (this.#decoded?.start !== start) this.#decoded = { header: this.#decode(start), start };
    return { ...this.#decoded.header, bodyPosition: this.#bodyPositions[index]! };
  }

  /** Where the header is kept. */
  #keep(header: BatchHeader): number {
    if (this.#latest?.header === header) return this.#latest.start;
    const { rows, nodes, buffers, variadicCounts, compression } = header;
    const start = this.#end;
    const words = 5 + 2 * nodes.length + 2 * buffers.length + variadicCounts.length;
    const into = (this.#headers = withRoom(this.#headers, start + words));
    let at = start;
    into[at++] = rows;
    into[at++] = CODECS.indexOf(compression);
    into[at++] = nodes.length;
    into[at++] = buffers.length;
    into[at++] = variadicCounts.length;
    for (const node of nodes) {
      into[at++] = node.length;
      into[at++] = node.nullCount;
    }
    for (const buffer of buffers) {
      into[at++] = buffer.offset;
      into[at++] = buffer.length;
    }
    for (const count of variadicCounts) into[at++] = count;
    const known = this.#latest?.start;
    const isKnown = known !== undefined && sameWords(into, known, start, words);
    if (!isKnown) this.#end = at;
    this.#latest = { header, start: isKnown ? known : start };
    return this.#latest.start;
  }

  #decode(start: number): BatchHeader {
    const from = this.#headers;
    let at = start;
    const next = (): number => from[at++]!;
    const rows = next();
    const compression = CODECS[next()];
    const counts = { nodes: next(), buffers: next(), variadic: next() };
    return {
      rows,
      compression,
      nodes: Array.from({ length: counts.nodes }, () => ({ length: next(), nullCount: next() })),
      buffers: Array.from({ length: counts.buffers }, () => ({ offset: next(), length: next() })),
      variadicCounts: Array.from({ length: counts.variadic }, next),
    };
  }
}

/** The same numbers in an array of at least `length`, twice as long as before where it grows. */
function withRoom(numbers: Float64Array, length: number): Float64Array {
  if (length <= numbers.length) return numbers;
  const larger = new Float64Array(Math.max(length, 2 * numbers.length));
  larger.set(numbers);
  return larger;
}

function sameWords(words: Float64Array, a: number, b: number, count: number): boolean {
  for (let i = 0; i < count; i++) if (words[a + i] !== words[b + i]) return false;
  return true;
}
