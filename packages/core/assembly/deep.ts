/** What only the deep autoencoder needs: panels back to rows, masks, and sums of columns. */
/** Writes z [panel][unit][8] to rows [rows, units]; `relu`: negative values become 0, NaN stays. */
export function unpackPanels(out: usize, z: usize, rows: usize, units: usize, relu: bool): void {
  for (let row: usize = 0; row < rows; row++) {
    const from = z + (row >> 3) * units * 32 + ((row & 7) << 2);
    const to = out + row * units * 4;
    for (let unit: usize = 0; unit < units; unit++) {
      const value = load<f32>(from + (unit << 5));
      store<f32>(to + (unit << 2), relu && value < 0 ? 0 : value);
    }
  }
}

/** out[j] = a[j] − b[j]. */
export function difference(out: usize, a: usize, b: usize, length: usize): void {
  for (let j: usize = 0; j < length << 2; j += 4) store<f32>(out + j, load<f32>(a + j) - load<f32>(b + j));
}

/** values[j] = 0 where gate[j] ≤ 0. */
export function maskByPositive(values: usize, gate: usize, length: usize): void {
  for (let j: usize = 0; j < length << 2; j += 4) if (load<f32>(gate + j) <= 0) store<f32>(values + j, 0);
}

/** The first `columns` columns of rows that lie `stride` bytes apart, as rows of `rows` numbers. */
export function transposeColumns(out: usize, from: usize, stride: usize, rows: usize, columns: usize): void {
  for (let row: usize = 0; row < rows; row++, from += stride) {
    let to = out + (row << 2);
    for (let column: usize = 0; column < columns; column++, to += rows << 2) store<f32>(to, load<f32>(from + (column << 2)));
  }
}

/** Σ of `count` numbers, one after the other from 0. */
export function sumInOrder(values: usize, count: usize): f32 {
  let sum: f32 = 0;
  for (const end = values + (count << 2); values < end; values += 4) sum += load<f32>(values);
  return sum;
}
