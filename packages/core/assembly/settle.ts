/**
 * The k largest of a panel's screened rows. What may be a candidate is looked for once: bounds from a little below where the k-th
 * largest value will be. The latents of the k largest of them are evaluated first: the k-th largest of their values bounds the k-th
 * largest of all from below, so that of the others only what reaches it by its bound is a candidate.
 */
import { chains } from "./chains";
import { keepReaching, replaceBounds } from "./evaluate";
import { ABOVE_ALL, dropLower, keepLargest, keepPositive, kthLargest, mergeLists, SMALLEST, splitLargest } from "./lists";
import { PANEL } from "./product";
import { LATENT_TERMS, SAMPLED } from "./quantise";
import { collectReaching, lowerBounds, SLACK, takeOut } from "./select";

/**
 * How far below the k-th largest bound is looked, as a multiple of a usual latent's margin. A value lies one margin below its
 * bound, give or take its error of screening; the least of k values lies lower by some two standard deviations of it, of which a margin has
 * seven.
 */
const DEPTH_OF_LOOK: f32 = 4 / 3;

/**
 * From bounds u [latent][8] of `rows` rows x [rows, dIn] and their group maxima, each row's k best in a list of `lists` (see
 * lists.ts). `settled` receives [3][8] float32: how many they are, or −1 where the row is not screened (a bit of
 * `unscreened`) or has as many candidates as fit the list; how many candidates it had; the largest error of screening among
 * them, in standard deviations. `words` is scratch for 32 words and the masks of masks.ts, `first` for lists of the k largest bounds, `evaluated` for
 * lists of `capacity`.
 *
 * All rows' chains come one after the other, without anything between them that must wait for their values: the machine then
 * begins to fetch the next row's weights before a row is done, which takes 2 to 4 % off selection.
 */
export function settleTopK(
  u: usize, latents: usize, maxima: usize, groups: usize, groupUnits: usize, k: i32, rows: usize, unscreened: i32, settled: usize,
  words: usize, first: usize, firstCapacity: usize, lists: usize, capacity: usize, evaluated: usize,
  x: usize, start: usize, w: usize, dIn: usize, rowTerms: usize, latentTerms: usize,
): void {
  const counts = words;
  const bounds = words + 4 * PANEL;
  const looked = words + 8 * PANEL;
  const more = words + 12 * PANEL;
  const masks = words + 16 * PANEL;
  const kept = settled;
  const candidates = settled + 4 * PANEL;
  const errors = settled + 8 * PANEL;
  const rowBytes = dIn << 2;
  const firstBytes = firstCapacity << 3;
  const listBytes = capacity << 3;
  lowerBounds(looked, maxima, groups, k, SLACK);
  lookLower(looked, latents, rowTerms, latentTerms);
  collectReaching(u, latents, maxima, groups, groupUnits, lists, capacity, counts, looked, masks);
  // Rows whose lists may lack candidates.
  let lacking = 0;
  for (let lane: usize = 0; lane < PANEL; lane++) {
    const at = lane << 2;
    const list = lists + lane * listBytes;
    const count = isScreened(lane, rows, unscreened) ? load<i32>(counts + at) : 0;
    if (count == <i32>capacity) lacking |= 1 << <i32>lane;
    const known = splitLargest(list, capacity, count, k, first + lane * firstBytes, firstCapacity);
    store<i32>(counts + at, count - known);
    store<f32>(candidates + at, <f32>known);
  }
  for (let lane: usize = 0; lane < rows; lane++) {
    const known = <usize>load<f32>(candidates + (lane << 2));
    chains(evaluated + lane * listBytes, first + lane * firstBytes + (firstCapacity << 2), known, x + lane * rowBytes, start, w, dIn);
  }
  for (let lane: usize = 0; lane < PANEL; lane++) {
    const at = lane << 2;
    const known = <usize>load<f32>(candidates + at);
    const list = first + lane * firstBytes;
    store<f32>(errors + at, replaceBounds(list, firstCapacity, known, evaluated + lane * listBytes, rowTerms + at, latentTerms));
    const least = kthLargest(list, <i32>known, k);
    store<i32>(bounds + at, least);
    if (isScreened(lane, rows, unscreened) && least < load<i32>(looked + at)) lacking |= 1 << <i32>lane;
    else store<i32>(counts + at, dropLower(lists + lane * listBytes, capacity, load<i32>(counts + at), least));
  }
  if (lacking != 0) {
    lookAgain(lacking, u, latents, maxima, groups, groupUnits, first, firstCapacity, candidates, lists, capacity, counts, bounds, looked, more, masks);
  }
  for (let lane: usize = 0; lane < rows; lane++) {
    const count = <usize>load<i32>(counts + (lane << 2));
    chains(evaluated + lane * listBytes, lists + lane * listBytes + (capacity << 2), count, x + lane * rowBytes, start, w, dIn);
  }
  for (let lane: usize = 0; lane < rows; lane++) {
    const at = lane << 2;
    const known = <usize>load<f32>(candidates + at);
    const others = <usize>load<i32>(counts + at);
    store<f32>(candidates + at, <f32>(known + others));
    // A full list may not hold all of them.
    if (!isScreened(lane, rows, unscreened) || known + others >= capacity) {
      store<f32>(kept + at, -1);
      continue;
    }
    const list = lists + lane * listBytes;
    const values = evaluated + lane * listBytes;
    const error = keepReaching(values, counts + at, load<i32>(bounds + at), list, capacity, others, rowTerms + at, latentTerms);
    // Not a number where either is none.
    store<f32>(errors + at, max<f32>(error, load<f32>(errors + at)));
    const reaching = <usize>load<i32>(counts + at);
    mergeLists(list, capacity, first + lane * firstBytes, firstCapacity, known, values, capacity, reaching);
    const count = known + reaching;
    const some = count > <usize>k ? keepLargest(list, capacity, <i32>count, k, bounds + at) : <i32>keepPositive(list, capacity, count);
    store<f32>(kept + at, <f32>some);
  }
}

/** Whether lane `lane` is one of `rows` rows, and without a bit in `unscreened`. */
@inline
function isScreened(lane: usize, rows: usize, unscreened: i32): bool {
  return lane < rows && (unscreened & (1 << <i32>lane)) == 0;
}

/** Lowers each row's bound, bits of a positive number, by DEPTH_OF_LOOK times the mean margin of some latents. */
function lookLower(looked: usize, latents: usize, rowTerms: usize, latentTerms: usize): void {
  const step = (latents + SAMPLED - 1) / SAMPLED;
  let scales: f32 = 0;
  let ratios: f32 = 0;
  let count: f32 = 0;
  for (let latent: usize = 0; latent < latents; latent += step) {
    const terms = latentTerms + latent * LATENT_TERMS;
    const ratio = load<f32>(terms, 4);
    if (ratio == Infinity) continue;
    scales += load<f32>(terms);
    ratios += ratio;
    count++;
  }
  const factor = DEPTH_OF_LOOK / max<f32>(count, 1);
  const scale = f32x4.splat(factor * scales);
  const ratio = f32x4.splat(factor * ratios);
  for (let half: usize = 0; half < 32; half += 16) {
    const ofRow = f32x4.mul(v128.load(rowTerms + half), v128.load(rowTerms + half, 128));
    const margin = f32x4.add(f32x4.mul(ofRow, scale), f32x4.mul(v128.load(rowTerms + half, 64), ratio));
    v128.store(looked + half, i32x4.max_s(i32x4.splat(SMALLEST), f32x4.sub(v128.load(looked + half), margin)));
  }
}

/**
 * For rows with a bit in `lacking`, whose k-th largest value turned out lower than was looked, or more reached that than fit a list: looks again
 * for all that reach that value, but what is evaluated.
 */
function lookAgain(
  lacking: i32, u: usize, latents: usize, maxima: usize, groups: usize, groupUnits: usize, first: usize, firstCapacity: usize, known: usize,
  lists: usize, capacity: usize, counts: usize, bounds: usize, looked: usize, more: usize, masks: usize,
): void {
  for (let lane: usize = 0; lane < PANEL; lane++) {
    const at = lane << 2;
    const lacks = (lacking & (1 << <i32>lane)) != 0;
    store<i32>(looked + at, lacks ? load<i32>(bounds + at) : ABOVE_ALL);
    if (lacks) takeOut(u, lane, first + lane * (firstCapacity << 3), firstCapacity, <usize>load<f32>(known + at));
  }
  collectReaching(u, latents, maxima, groups, groupUnits, lists, capacity, more, looked, masks);
  for (let lane: usize = 0; lane < PANEL; lane++) {
    if ((lacking & (1 << <i32>lane)) != 0) store<i32>(counts + (lane << 2), load<i32>(more + (lane << 2)));
  }
}
