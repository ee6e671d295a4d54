/** A matrix and its transpose. Depends on nothing. */

/**
 * The transpose of a row-major matrix [rows, columns].
 *
 * @param out where it is written. Default: memory of its own
 */
export function transpose(
  matrix: Float32Array,
  rows: number,
  columns: number,
  out: Float32Array = new Float32Array(matrix.length),
): Float32Array {
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++)
      out[column * rows + row] = matrix[row * columns + column];
  }
  return out;
}
