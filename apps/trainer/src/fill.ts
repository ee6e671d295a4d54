/** Mini-batches for whoever may be asked to stop. Depends on nothing. */

/** Where rows come from, in the model's coordinates: a RowStream, or anything like it. */
export interface RowSource {
  /**
   * Writes the next rows and their indices; returns how many, fewer than asked only at the end.
   * @throws the signal's reason when it is aborted while rows are awaited.
   */
  fill(into: Float32Array, rows: number, rowIds: Float64Array, signal?: AbortSignal): Promise<number>;
}

/**
 * The next rows of a source; undefined when the signal comes first: a server that does not answer then keeps nobody
 * from saving and leaving. The source is at its end, at the place before these rows.
 */
export async function fillUnlessStopped(
  source: RowSource,
  into: Float32Array,
  rows: number,
  rowIds: Float64Array,
  signal: AbortSignal | undefined,
): Promise<number | undefined> {
  try {
    return await source.fill(into, rows, rowIds, signal);
  } catch (error) {
    if (signal?.aborted === true && error === signal.reason) return undefined;
    throw error;
  }
}
