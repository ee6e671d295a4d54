/** Screening's candidates, once their canonical values are known: how wrong their bounds were, and which are large enough. */
import { marginOf, varianceOf } from "./screen";
import { LATENT_TERMS } from "./quantise";
import { root } from "./simd";

/**
 * Replaces the bounds in a list (see lists.ts) of `count` by canonical `values`. Returns the largest error of screening among
 * them, in its standard deviations, or NaN where a value is not a number.
 */
export function replaceBounds(list: usize, capacity: usize, count: usize, values: usize, rowTerms: usize, latentTerms: usize): f32 {
  const latents = list + (capacity << 2);
  let largest: f32 = 0;
  for (let i: usize = 0; i < count; i++) {
    const at = i << 2;
    const value = load<f32>(values + at);
    largest = worst(largest, value, load<f32>(list + at), rowTerms, latentTerms + <usize>load<i32>(latents + at) * LATENT_TERMS);
    store<f32>(list + at, value);
  }
  return root(largest);
}

/**
 * {@link replaceBounds}, but the list stays as it is: those of its latents whose values, which are at `reaching`, reach `least`, bits
 * of a positive number, become a list there of the same capacity, and `kept` receives how many.
 */
export function keepReaching(
  reaching: usize, kept: usize, least: i32, list: usize, capacity: usize, count: usize, rowTerms: usize, latentTerms: usize,
): f32 {
  const latents = list + (capacity << 2);
  let largest: f32 = 0;
  let some: usize = 0;
  for (let i: usize = 0; i < count; i++) {
    const at = i << 2;
    const latent = load<i32>(latents + at);
    const value = load<f32>(reaching + at);
    largest = worst(largest, value, load<f32>(list + at), rowTerms, latentTerms + <usize>latent * LATENT_TERMS);
    // Without a branch, which could not be predicted: what does not reach is overwritten.
    store<f32>(reaching + (some << 2), value);
    store<i32>(reaching + ((capacity + some) << 2), latent);
    some += <usize>(reinterpret<i32>(value) >= least);
  }
  store<i32>(kept, <i32>some);
  return root(largest);
}

/**
 * The larger of `largest` and the error of a bound, as the square of it in standard deviations; NaN stays, or comes of a value.
 * Squares, since one division then is all that takes time.
 */
@inline
function worst(largest: f32, value: f32, bound: f32, rowTerms: usize, latentTerms: usize): f32 {
  if (value != value) return NaN;
  const margin = marginOf(rowTerms, latentTerms);
  // A latent that is not screened has an infinite bound and no error, as has a row of zeros.
  if (margin == Infinity || margin < 1e-12) return largest;
  const error = value - (bound - margin);
  const square = (error * error) / varianceOf(rowTerms, latentTerms);
  return square > largest ? square : largest;
}
