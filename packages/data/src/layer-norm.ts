/**
 * LayerNorm of rows in memory, in place: x' = (x - m) / (deviation + 1e-5), m and the deviation (of n - 1) those of the
 * row's own numbers. Numbers for models that were trained so; a row's result depends on that row alone.
 */

/** Added to the deviation: rows of equal numbers become zeros. */
const EPSILON = 1e-5;

/**
 * Normalises each vector of `rows` rows, from index `at` on. Sums are float64 in four lanes, of every fourth number each,
 * the rest in the first lane; each result is rounded to float32 once. All numbers must be finite.
 * @param widths of the vectors that lie side by side in a row.
 */
export function layerNormRows(
  values: Float32Array,
  at: number,
  rows: number,
  widths: readonly number[],
): void {
  for (let row = 0; row < rows; row++) {
    for (const width of widths) {
      normalise(values, at, width);
      at += width;
    }
  }
}

/** Written out in four lanes: one sum would wait for itself. */
function normalise(values: Float32Array, from: number, width: number): void {
  const end = from + width;
  const whole = end - (width % 4);
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  for (let i = from; i < whole; i += 4) {
    a += values[i]!;
    b += values[i + 1]!;
    c += values[i + 2]!;
    d += values[i + 3]!;
  }
  for (let i = whole; i < end; i++) a += values[i]!;
  const mean = (a + b + (c + d)) / width;
  a = b = c = d = 0;
  for (let i = from; i < whole; i += 4) {
    a += square(values[i]! - mean);
    b += square(values[i + 1]! - mean);
    c += square(values[i + 2]! - mean);
    d += square(values[i + 3]! - mean);
  }
  for (let i = whole; i < end; i++) a += square(values[i]! - mean);
  const factor = 1 / (Math.sqrt((a + b + (c + d)) / (width - 1)) + EPSILON);
  for (let i = from; i < end; i++) values[i] = (values[i]! - mean) * factor;
}

function square(x: number): number {
  return x * x;
}

/** @throws RangeError unless the widths make a row, each of at least 2 numbers: of one, nothing would be left. */
export function checkWidths(widths: readonly number[], dIn: number): void {
  const sum = widths.reduce((total, width) => total + width, 0);
  if (sum !== dIn || !widths.every((width) => Number.isInteger(width) && width >= 2)) {
    throw new RangeError(
      `layerNorm has widths ${widths.join(", ")}: they must be whole numbers of at least 2 that sum to ${dIn}`,
    );
  }
}
