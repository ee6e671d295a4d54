/** The two precisions of all model arithmetic, which is written over both: float32 to train, float64 to check gradients. */

export type Precision = "float32" | "float64";

/** Numbers of either precision. */
export type FloatArray = Float32Array | Float64Array;

/** Rounds to a precision: Math.fround, or the identity for float64. */
export type Round = (value: number) => number;

/** What rounds to `precision`. */
export function roundingTo(precision: Precision): Round {
  return precision === "float32" ? Math.fround : identity;
}

function identity(value: number): number {
  return value;
}
