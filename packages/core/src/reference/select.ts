/** Selection of a row's active latents from its pre-activations, in ascending latent order. */
import type { FloatArray } from "../precision.ts";

/**
 * The k largest of z[offset, offset + length), ties to the lower index, written to `latents` and `values` in
 * descending order of value. Returns their number (k, or length if smaller), or −1 if a value is NaN.
 * Values are inserted into a sorted list: k is small, and after the first k few values still enter.
 */
export function selectLargest(
  z: FloatArray,
  offset: number,
  length: number,
  k: number,
  values: FloatArray,
  latents: Int32Array,
  at: number,
): number {
  let count = 0;
  for (let i = 0; i < length; i++) {
    const value = z[offset + i];
    // A later equal value does not displace an earlier one; NaN fails this comparison and is then caught.
    if (count === k && value <= values[at + k - 1]) continue;
    if (Number.isNaN(value)) return -1;
    let place = count < k ? count++ : k - 1;
    while (place > 0 && values[at + place - 1] < value) {
      values[at + place] = values[at + place - 1];
      latents[at + place] = latents[at + place - 1];
      place--;
    }
    values[at + place] = value;
    latents[at + place] = i;
  }
  return count;
}

/** Sorts `count` (latent, value) pairs by latent, in place. Insertion sort: k is small. */
export function sortByLatent(latents: Int32Array, values: FloatArray, at: number, count: number): void {
  for (let i = at + 1; i < at + count; i++) {
    const latent = latents[i];
    const value = values[i];
    let place = i;
    while (place > at && latents[place - 1] > latent) {
      latents[place] = latents[place - 1];
      values[place] = values[place - 1];
      place--;
    }
    latents[place] = latent;
    values[place] = value;
  }
}
