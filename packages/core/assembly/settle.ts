/**
 * The k largest of a panel's screened rows. The latents of the k largest bounds are evaluated first, and taken out of the
 * bounds: the k-th largest of their values bounds the k-th largest of all from below, so that of the others only what reaches it
 * by its bound is a candidate.
 */
import { chains, keepReaching, replaceBounds } from "./evaluate";
import { PANEL } from "./product";
import { collectReaching, keepLargest, keepPositive, kthLargest, mergeLists, selectTopK, takeOut } from "./select";

/** Bits above those of any number: a bound that nothing reaches. */
const UNREACHABLE: i32 = 0x7f800001;

/**
 * From bounds u [latent][8] of `rows` rows x [rows, dIn] and their group maxima, each row's k best in a list of `lists` (see
 * select.ts). `settled` receives [3][8] float32: how many they are, or −1 where the row is not screened (a bit of
 * `unscreened`) or has as many candidates as fit the list; how many candidates it had; the largest error of screening among
 * them, in standard deviations. `words` is scratch for 16 words, `first` for lists of the k largest bounds, `evaluated` for
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
  const kept = settled;
  const candidates = settled + 4 * PANEL;
  const errors = settled + 8 * PANEL;
  const rowBytes = dIn << 2;
  const firstBytes = firstCapacity << 3;
  const listBytes = capacity << 3;
  selectTopK(u, latents, maxima, groups, groupUnits, k, first, firstCapacity, counts, bounds);
  for (let lane: usize = 0; lane < PANEL; lane++) {
    if (!isScreened(lane, rows, unscreened)) store<i32>(counts + (lane << 2), 0);
    const count = load<i32>(counts + (lane << 2));
    chains(evaluated + lane * listBytes, first + lane * firstBytes + (firstCapacity << 2), count, x + lane * rowBytes, start, w, dIn);
  }
  for (let lane: usize = 0; lane < PANEL; lane++) {
    const at = lane << 2;
    const count = load<i32>(counts + at);
    const list = first + lane * firstBytes;
    store<f32>(candidates + at, <f32>count);
    store<f32>(errors + at, replaceBounds(list, firstCapacity, count, evaluated + lane * listBytes, rowTerms + at, latentTerms));
    store<i32>(bounds + at, isScreened(lane, rows, unscreened) ? kthLargest(list, count, k) : UNREACHABLE);
    takeOut(u, lane, list, firstCapacity, count);
  }
  collectReaching(u, latents, maxima, groups, groupUnits, lists, capacity, counts, bounds);
  for (let lane: usize = 0; lane < rows; lane++) {
    const count = load<i32>(counts + (lane << 2));
    chains(evaluated + lane * listBytes, lists + lane * listBytes + (capacity << 2), count, x + lane * rowBytes, start, w, dIn);
  }
  for (let lane: usize = 0; lane < rows; lane++) {
    const at = lane << 2;
    const known = <usize>load<f32>(candidates + at);
    const more = <usize>load<i32>(counts + at);
    store<f32>(candidates + at, <f32>(known + more));
    // A full list may not hold all of them.
    if (!isScreened(lane, rows, unscreened) || known + more >= capacity) {
      store<f32>(kept + at, -1);
      continue;
    }
    const list = lists + lane * listBytes;
    const values = evaluated + lane * listBytes;
    const error = keepReaching(values, counts + at, load<i32>(bounds + at), list, capacity, more, rowTerms + at, latentTerms);
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
