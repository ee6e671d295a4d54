/**
 * IEEE half precision: a table to widen it (fast: one load per number) and a rounding to narrow to it.
 * Depends on nothing.
 */

/** The float32 value of each of the 65,536 half-precision bit patterns. 256 KiB; make one per reader. */
export function createFloat16Table(): Float32Array {
  const table = new Float32Array(65536);
  for (let bits = 0; bits < 65536; bits++) {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    if (exponent === 31) table[bits] = fraction === 0 ? sign * Infinity : NaN;
    else if (exponent === 0) table[bits] = sign * fraction * 2 ** -24;
    else table[bits] = sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }
  return table;
}

/**
 * Rounds float32 numbers to half precision, to nearest, ties to even.
 * @param target receives `source.length` bit patterns from `at` on.
 * @returns the index of the first number that is not finite in half precision, or -1.
 */
export function encodeFloat16(source: Float32Array, target: Uint16Array, at = 0): number {
  const bitsOf = new Uint32Array(source.buffer, source.byteOffset, source.length);
  let firstBad = -1;
  for (let i = 0; i < bitsOf.length; i++) {
    const half = float16Bits(bitsOf[i]!);
    if ((half & 0x7c00) === 0x7c00 && firstBad < 0) firstBad = i;
    target[at + i] = half;
  }
  return firstBad;
}

/** The half-precision bits of a float32 given by its bits. */
function float16Bits(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00; // NaN
  if (magnitude >= 0x477ff000) return sign | 0x7c00; // 65520 and above round to infinity
  if (magnitude >= 0x38800000) {
    // Normal: rebias the exponent by 112, drop 13 bits. The carry of the rounding runs into the exponent.
    const odd = (magnitude >>> 13) & 1;
    return sign | ((magnitude - 0x38000000 + 0xfff + odd) >>> 13);
  }
  if (magnitude < 0x33000000) return sign; // below half of the smallest subnormal
  // Subnormal: the fraction with its leading one, shifted to units of 2^-24.
  const shift = 126 - (magnitude >>> 23);
  const fraction = (magnitude & 0x7fffff) | 0x800000;
  const floor = fraction >>> shift;
  const rest = fraction & ((1 << shift) - 1);
  const half = 1 << (shift - 1);
  return sign | (rest > half || (rest === half && (floor & 1) === 1) ? floor + 1 : floor);
}
