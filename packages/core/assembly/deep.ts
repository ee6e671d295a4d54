/** What only the deep autoencoder needs: panels back to rows, masks, and transposed columns. */

/** Writes z [panel][unit][8] to rows [rows, units]. */
export function unpackPanels(out: usize, z: usize, rows: usize, units: usize): void {
  const stride = units << 2;
  const whole = units & ~3;
  for (let row: usize = 0; row < rows; row += 8, out += stride << 3, z += stride << 3) {
    const count = min<usize>(8, rows - row);
    for (let unit: usize = 0; unit < whole; unit += 4) {
      const from = z + (unit << 5);
      const to = out + (unit << 2);
      unpackFour(to, from, stride, min<usize>(4, count));
      if (count > 4) unpackFour(to + (stride << 2), from + 16, stride, count - 4);
    }
    for (let unit = whole; unit < units; unit++) {
      for (let lane: usize = 0; lane < count; lane++) {
        store<f32>(out + lane * stride + (unit << 2), load<f32>(z + (unit << 5) + (lane << 2)));
      }
    }
  }
}

/** Four units of up to four rows: a transposition in registers. */
@inline
function unpackFour(to: usize, from: usize, stride: usize, rows: usize): void {
  const a = v128.load(from);
  const b = v128.load(from, 32);
  const c = v128.load(from, 64);
  const d = v128.load(from, 96);
  const ab0 = v128.shuffle<f32>(a, b, 0, 4, 1, 5);
  const ab1 = v128.shuffle<f32>(a, b, 2, 6, 3, 7);
  const cd0 = v128.shuffle<f32>(c, d, 0, 4, 1, 5);
  const cd1 = v128.shuffle<f32>(c, d, 2, 6, 3, 7);
  v128.store(to, v128.shuffle<f64>(ab0, cd0, 0, 2));
  if (rows > 1) v128.store(to + stride, v128.shuffle<f64>(ab0, cd0, 1, 3));
  if (rows > 2) v128.store(to + (stride << 1), v128.shuffle<f64>(ab1, cd1, 0, 2));
  if (rows > 3) v128.store(to + 3 * stride, v128.shuffle<f64>(ab1, cd1, 1, 3));
}

/** Negative values of `length` numbers, a multiple of four, become 0; NaN stays. */
export function rectify(values: usize, length: usize): void {
  for (const end = values + (length << 2); values < end; values += 16) {
    const v = v128.load(values);
    v128.store(values, v128.andnot(v, f32x4.lt(v, f32x4.splat(0))));
  }
}

/** out[j] = a[j] − b[j]. */
export function difference(out: usize, a: usize, b: usize, length: usize): void {
  const whole = (length & ~3) << 2;
  for (let j: usize = 0; j < whole; j += 16) v128.store(out + j, f32x4.sub(v128.load(a + j), v128.load(b + j)));
  for (let j = whole; j < length << 2; j += 4) store<f32>(out + j, load<f32>(a + j) - load<f32>(b + j));
}

/** values[j] = 0 where gate[j] ≤ 0. */
export function maskByPositive(values: usize, gate: usize, length: usize): void {
  const whole = (length & ~3) << 2;
  for (let j: usize = 0; j < whole; j += 16) {
    v128.store(values + j, v128.andnot(v128.load(values + j), f32x4.le(v128.load(gate + j), f32x4.splat(0))));
  }
  for (let j = whole; j < length << 2; j += 4) if (load<f32>(gate + j) <= 0) store<f32>(values + j, 0);
}

/**
 * The first `columns` columns of rows that lie `stride` bytes apart, as rows of `rows` numbers, `outStride` bytes apart.
 * Sixteen rows at a time, so that whole cache lines are written. `sums` (0: none) takes each column's numbers, one after
 * the other, on top of what is there.
 */
export function transposeColumns(
  out: usize, outStride: usize, from: usize, stride: usize, rows: usize, columns: usize, sums: usize,
): void {
  const wholeRows = rows & ~15;
  const wholeColumns = columns & ~3;
  for (let row: usize = 0; row < wholeRows; row += 16) {
    for (let column: usize = 0; column < wholeColumns; column += 4) {
      const source = from + row * stride + (column << 2);
      const target = out + column * outStride + (row << 2);
      const sum = sums == 0 ? <usize>0 : sums + (column << 2);
      transposeFour(target, outStride, source, stride, sum);
      transposeFour(target + 16, outStride, source + (stride << 2), stride, sum);
      transposeFour(target + 32, outStride, source + (stride << 3), stride, sum);
      transposeFour(target + 48, outStride, source + 12 * stride, stride, sum);
    }
  }
  for (let row: usize = 0; row < rows; row++) {
    for (let column = row < wholeRows ? wholeColumns : 0; column < columns; column++) {
      const value = load<f32>(from + row * stride + (column << 2));
      store<f32>(out + column * outStride + (row << 2), value);
      if (sums != 0) store<f32>(sums + (column << 2), load<f32>(sums + (column << 2)) + value);
    }
  }
}

@inline
function transposeFour(to: usize, toStride: usize, from: usize, stride: usize, sum: usize): void {
  const a = v128.load(from);
  const b = v128.load(from + stride);
  const c = v128.load(from + (stride << 1));
  const d = v128.load(from + 3 * stride);
  if (sum != 0) v128.store(sum, f32x4.add(f32x4.add(f32x4.add(f32x4.add(v128.load(sum), a), b), c), d));
  const ab0 = v128.shuffle<f32>(a, b, 0, 4, 1, 5);
  const ab1 = v128.shuffle<f32>(a, b, 2, 6, 3, 7);
  const cd0 = v128.shuffle<f32>(c, d, 0, 4, 1, 5);
  const cd1 = v128.shuffle<f32>(c, d, 2, 6, 3, 7);
  v128.store(to, v128.shuffle<f64>(ab0, cd0, 0, 2));
  v128.store(to + toStride, v128.shuffle<f64>(ab0, cd0, 1, 3));
  v128.store(to + (toStride << 1), v128.shuffle<f64>(ab1, cd1, 0, 2));
  v128.store(to + 3 * toStride, v128.shuffle<f64>(ab1, cd1, 1, 3));
}
