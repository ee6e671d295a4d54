/**
 * The k largest of a panel's screened rows. The latents of the k largest bounds are evaluated first, and taken out of the
 * bounds: the k-th largest of their values bounds the k-th largest of all from below, so that of the others only what reaches it
 * by its bound is a candidate.
 */
import { evaluateList, evaluateReaching } from "./evaluate";
import { PANEL } from "./product";
import { collectReaching, keepLargest, keepPositive, kthLargest, mergeLists, selectTopK, takeOut } from "./select";

/** Bits above those of any number: a bound that nothing reaches. */
const UNREACHABLE: i32 = 0x7f800001;

/**
 * From bounds u [latent][8] of `rows` rows x [rows, dIn] and their group maxima, each row's k best in a list of `lists` (see
 * select.ts). `settled` receives [3][8] float32: how many they are, or −1 where the row is not screened (a bit of
 * `unscreened`) or has as many candidates as fit the list; how many candidates it had; the largest error of screening among
 * them, in standard deviations. `words` is scratch for 16 words, `first` for lists of the k largest bounds, `values`
 * for twice `capacity` numbers.
 */
export function settleTopK(
  u: usize, latents: usize, maxima: usize, groups: usize, groupUnits: usize, k: i32, rows: usize, unscreened: i32, settled: usize,
  words: usize, first: usize, firstCapacity: usize, lists: usize, capacity: usize, values: usize,
  x: usize, start: usize, w: usize, dIn: usize, rowTerms: usize, latentTerms: usize,
): void {
  const counts = words;
  const bounds = words + 4 * PANEL;
  const kept = settled;
  const candidates = settled + 4 * PANEL;
  const errors = settled + 8 * PANEL;
  selectTopK(u, latents, maxima, groups, groupUnits, k, first, firstCapacity, counts, bounds);
  for (let lane: usize = 0; lane < PANEL; lane++) {
    const at = lane << 2;
    const screened = lane < rows && (unscreened & (1 << <i32>lane)) == 0;
    const count = screened ? load<i32>(counts + at) : 0;
    const list = first + lane * firstCapacity * 8;
    const row = x + lane * (dIn << 2);
    store<f32>(candidates + at, <f32>count);
    store<f32>(
      errors + at,
      count > 0 ? evaluateList(list, firstCapacity, count, values, row, start, w, dIn, rowTerms + at, latentTerms) : 0,
    );
    store<i32>(bounds + at, screened ? kthLargest(list, count, k) : UNREACHABLE);
    takeOut(u, lane, list, firstCapacity, count);
  }
  collectReaching(u, latents, maxima, groups, groupUnits, lists, capacity, counts, bounds);
  for (let lane: usize = 0; lane < rows; lane++) {
    const at = lane << 2;
    const known = <usize>load<f32>(candidates + at);
    const more = <usize>load<i32>(counts + at);
    store<f32>(candidates + at, <f32>(known + more));
    // A full list may not hold all of them.
    if ((unscreened & (1 << <i32>lane)) != 0 || known + more >= capacity) {
      store<f32>(kept + at, -1);
      continue;
    }
    const list = lists + lane * capacity * 8;
    const row = x + lane * (dIn << 2);
    const error = evaluateReaching(
      values, counts + at, load<i32>(bounds + at), list, capacity, more, row, start, w, dIn, rowTerms + at, latentTerms,
    );
    // Not a number where either is none.
    store<f32>(errors + at, max<f32>(error, load<f32>(errors + at)));
    const reaching = <usize>load<i32>(counts + at);
    mergeLists(list, capacity, first + lane * firstCapacity * 8, firstCapacity, known, values, capacity, reaching);
    const count = known + reaching;
    const some = count > <usize>k ? keepLargest(list, capacity, <i32>count, k, bounds + at) : <i32>keepPositive(list, capacity, count);
    store<f32>(kept + at, <f32>some);
  }
}
